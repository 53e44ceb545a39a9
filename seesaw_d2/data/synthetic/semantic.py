"""Create label maps for semantic segmentation from the objects of a synthetic dataset.

Class 0 is the background, and class i + 1 is category i.
"""

from pathlib import Path

import cv2
import numpy as np

from seesaw_d2.data.synthetic.annotations import category_records, to_json
from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.layout import PlacedGlyph
from seesaw_d2.data.synthetic.silhouette import SUPERSAMPLE
from seesaw_d2.errors import ConfigError

IGNORED = 255
CLASSES_FILE = "glyphs_semantic_classes.json"
# An object gets each pixel of which it covers at least _COVERED. A pixel is background if no object covers more than
# _TOUCHED of it. All other pixels, at the edges of objects, are ignored.
_COVERED, _TOUCHED = 0.75, 0.25


def check_semantic(config: GlyphConfig) -> None:
    """Raise ConfigError if the dataset has more than 254 categories. Label maps have 8 bits per pixel.

    The values 0 and 255 of a label map mean background and ignored pixels.
    """
    if config.num_categories >= IGNORED:
        raise ConfigError(
            f"num_categories: expected at most {IGNORED - 1} categories for semantic label maps, found "
            f"{config.num_categories} categories. The label maps have 8 bits per pixel."
        )


def label_map(objects: list[PlacedGlyph], size: int) -> np.ndarray:
    """Return the semantic label map of an image, a uint8 array (size, size).

    A pixel has the value 0 for background, i + 1 for category i, or 255 if it must be ignored.

    Args:
        objects: objects in the image, with their positions.
        size: side length of the image in pixels.
    """
    labels = np.zeros((size, size), np.uint8)
    for placed in objects:
        fine = np.zeros((SUPERSAMPLE * size, SUPERSAMPLE * size), np.uint8)
        outline = placed.silhouette.outline
        fine[placed.y : placed.y + outline.shape[0], placed.x : placed.x + outline.shape[1]] = outline
        cover = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA) / 255
        labels[cover > _TOUCHED] = IGNORED
        labels[cover >= _COVERED] = placed.category + 1
    return labels


def write_classes(folder: Path, config: GlyphConfig) -> None:
    """Write a JSON file with the name and the number of training images of each class of the label maps.

    The config key SEM_SEG_CLASSES in DATASETS.REGISTER names this file.

    Args:
        folder: folder to write to.
        config: settings of the dataset.
    """
    classes = [{"name": "background", "image_count": config.num_train_images}]
    classes += [{key: record[key] for key in ("name", "image_count")} for record in category_records(config)]
    (folder / CLASSES_FILE).write_text(to_json({"classes": classes}) + "\n", encoding="utf-8")
