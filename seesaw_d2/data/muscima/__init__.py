"""Convert MUSCIMA++ v2.0 (handwritten music notation) to a detection or classification dataset.

For detection, each page is cut into square tiles. For classification, each symbol is cropped.

Source: Hajič jr. and Pecina, "The MUSCIMA++ Dataset for Handwritten Optical Music Recognition", ICDAR 2017.
"""

from seesaw_d2.data.muscima.prepare import prepare_crops, prepare_tiles
from seesaw_d2.data.muscima.settings import LEFT_OUT, CropSettings, Split, TileSettings

__all__ = ["LEFT_OUT", "CropSettings", "Split", "TileSettings", "prepare_crops", "prepare_tiles"]
