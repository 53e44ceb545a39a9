"""Draw the images of a synthetic dataset in chunks of 32 images. Worker processes draw several chunks in parallel."""

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
    """Consecutive images of a split, with everything that a worker process must know to draw these images.

    Attributes:
        config: settings of the dataset.
        split: "train" or "val".
        images: indices of the images in the split.
        categories: for each image, the category indices of its objects.
        first_annotation: number of objects in all earlier images of the split. The annotation ids of this chunk start
            at ``first_annotation + 1``.
        image_root: folder to write to. The images are in its subfolder ``split``. If None, do not draw images.
        semantic_root: folder to which the semantic label maps are written, also in the subfolder ``split``. If None, do
            not draw label maps.
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
    """Divide the images of a split into chunks of at most 32 images.

    Args:
        config: settings of the dataset.
        plan: categories of all images in the split.
        image_root: folder to which the images will be written, or None for no images.
        semantic_root: folder to which the label maps will be written, or None for no label maps.

    Yields:
        the chunks, in the order of the images.
    """
    for first in range(0, plan.num_images, CHUNK_IMAGES):
        images = range(first, min(first + CHUNK_IMAGES, plan.num_images))
        categories = [plan.of_image(image) for image in images]
        yield Chunk(config, plan.split, images, categories, int(plan.offsets[first]), image_root, semantic_root)


def draw_chunk(chunk: Chunk) -> tuple[int, list[str]]:
    """Draw the images of a chunk, and write the image files and label maps.

    Returns:
        the number of images, and their annotations as JSON strings in LVIS format.
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
