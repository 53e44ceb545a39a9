"""Draw the images of a data set in chunks, the units of work of parallel worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from seesaw_d2.data.synthetic.annotations import annotation_record, image_file, image_id, to_json
from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.layout import lay_out
from seesaw_d2.data.synthetic.picture import draw_picture
from seesaw_d2.data.synthetic.plan import SPLITS, SplitPlan
from seesaw_d2.data.synthetic.seeds import generator
from seesaw_d2.data.synthetic.semantic import label_map

JPEG_QUALITY = 90
CHUNK_IMAGES = 32


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of a split, and all settings that a worker process needs to draw these images.

    Attributes:
        config: settings of the data set.
        split: "train" or "val".
        images: indices of the images in the split.
        categories: category indices of the objects in each image.
        first_annotation: number of objects in all earlier images of the split. The chunk's annotation ids start at
            ``first_annotation + 1``.
        image_root: the images are written to the subfolder ``split`` of this folder. If None, do not draw images.
        semantic_root: label maps are written to the subfolder ``split`` of this folder. If None, do not draw label
            maps.
    """

    config: GlyphConfig
    split: str
    images: range
    categories: list[np.ndarray]
    first_annotation: int
    image_root: Path | None
    semantic_root: Path | None = None


def split_chunks(
    config: GlyphConfig, plan: SplitPlan, image_root: Path | None, semantic_root: Path | None = None
) -> Iterator[Chunk]:
    """Yield the chunks of a split in order."""
    for first in range(0, plan.num_images, CHUNK_IMAGES):
        images = range(first, min(first + CHUNK_IMAGES, plan.num_images))
        categories = [plan.of_image(image) for image in images]
        yield Chunk(config, plan.split, images, categories, int(plan.offsets[first]), image_root, semantic_root)


def draw_chunk(chunk: Chunk) -> tuple[int, list[str]]:
    """Draw and write the images of a chunk.

    Returns:
        the number of images, and the annotation entries as JSON strings.
    """
    texts = []
    config, split_index = chunk.config, SPLITS.index(chunk.split)
    for image, categories in zip(chunk.images, chunk.categories, strict=True):
        objects = lay_out(categories, config, generator(config, "layout", split_index, image))
        identity = image_id(config, chunk.split, image)
        for placed in objects:
            annotation = annotation_record(chunk.first_annotation + len(texts) + 1, identity, placed)
            texts.append(to_json(annotation))
        if chunk.image_root is not None:
            rng = generator(config, "picture", split_index, image)
            picture = draw_picture(objects, config.image_size, rng, config.background)
            path = chunk.image_root / image_file(config, chunk.split, image)
            Image.fromarray(picture).save(path, quality=JPEG_QUALITY)
        if chunk.semantic_root is not None:
            path = (chunk.semantic_root / image_file(config, chunk.split, image)).with_suffix(".png")
            Image.fromarray(label_map(objects, config.image_size)).save(path)
    return len(chunk.images), texts
