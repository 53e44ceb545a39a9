"""Create semantic label maps of the glyph data set. Class 0 is the background, and class i + 1 is category i."""

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
# A pixel belongs to an object that covers at least 0.75 of the pixel. A pixel belongs to the background if no object
# covers more than 0.25 of the pixel. All other pixels are ignored.
_COVERED, _TOUCHED = 0.75, 0.25


def check_semantic(config: GlyphConfig) -> None:
    """Raise ConfigError if 8-bit label maps cannot represent all classes and ``IGNORED``."""
    if config.num_categories >= IGNORED:
        raise ConfigError(
            f"num_categories: expected at most {IGNORED - 1} categories for semantic label maps, found "
            f"{config.num_categories} categories. The label maps have 8 bits per pixel."
        )


def label_map(objects: list[PlacedGlyph], size: int) -> np.ndarray:
    """Return the label map (size, size) uint8 of an image that contains ``objects``."""
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
    """Write the class names and their numbers of training images to a file for SEM_SEG_CLASSES in DATASETS.REGISTER."""
    classes = [{"name": "background", "image_count": config.num_train_images}]
    classes += [{key: record[key] for key in ("name", "image_count")} for record in category_records(config)]
    (folder / CLASSES_FILE).write_text(to_json({"classes": classes}) + "\n", encoding="utf-8")
