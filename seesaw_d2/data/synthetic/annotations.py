"""Write the annotation files of a synthetic dataset in the LVIS v1 format, with all fields of LVIS.

Each image and each annotation is written separately. Therefore memory use does not depend on the number of images.
"""

import json
from collections.abc import Iterable
from typing import TextIO

import numpy as np

from seesaw_d2.data.synthetic.alphabet import ALPHABETS
from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.layout import PlacedGlyph
from seesaw_d2.data.synthetic.plan import SPLITS, SplitPlan, frequency, train_image_counts
from seesaw_d2.data.synthetic.seeds import generator

INFO = {
    "description": "Glyphs: a synthetic long-tailed instance segmentation dataset in the LVIS v1 format",
    "url": "http://glyphs.invalid",
    "version": "1",
    "year": 2025,
    "contributor": "seesaw_d2",
    # The date is constant, so that the same settings always give the same bytes.
    "date_created": "2025-01-01 00:00:00",
}
LICENSES = [{"id": 1, "name": "Apache License 2.0", "url": "http://www.apache.org/licenses/LICENSE-2.0"}]


def category_records(config: GlyphConfig) -> list[dict]:
    """Return the list "categories" of an annotation file in LVIS format. The ids start at 1.

    As in LVIS, "image_count" and "instance_count" refer to the training set, even in the validation file.
    """
    records = []
    alphabet = ALPHABETS[config.alphabet]
    for index, count in enumerate(train_image_counts(config).tolist()):
        text = alphabet.text(index)
        name = alphabet.name(text)
        records.append(
            {
                "id": index + 1,
                "name": name,
                "synset": f"{name}.n.01",
                "synonyms": [name] if name == text else [name, text],
                "def": f"the glyph {text}, by itself" if len(text) == 1 else f"the glyphs {text}, as one",
                "image_count": count,
                "instance_count": count,  # equals image_count, because an image contains a category at most once
                "frequency": frequency(count),
            }
        )
    return records


def image_id(config: GlyphConfig, split: str, image: int) -> int:
    """Return the id of an image. The ids of training images start at 1, and the ids of validation images follow.

    Args:
        config: settings of the dataset.
        split: "train" or "val".
        image: index of the image in the split.
    """
    return image + 1 + (config.num_train_images if split == "val" else 0)


def image_file(config: GlyphConfig, split: str, image: int) -> str:
    """Return the path of an image file relative to the image root, such as "val/000000001201.jpg".

    As in LVIS, the "coco_url" of the image ends with this path, from which loaders find the file.

    Args:
        config: settings of the dataset.
        split: "train" or "val".
        image: index of the image in the split.
    """
    return f"{split}/{image_id(config, split, image):012d}.jpg"


def image_record(config: GlyphConfig, plan: SplitPlan, image: int) -> dict:
    """Return the element of the list "images" for one image, in LVIS format.

    Detectron2 reads the path of the image file from "coco_url".

    Args:
        config: settings of the dataset.
        plan: categories of all images in the split.
        image: index of the image in the split.
    """
    return {
        "id": image_id(config, plan.split, image),
        "width": config.image_size,
        "height": config.image_size,
        "coco_url": f"{INFO['url']}/{image_file(config, plan.split, image)}",
        "flickr_url": "",
        "license": 1,
        "date_captured": INFO["date_created"],
        "neg_category_ids": _absent_categories(config, plan, image),
        "not_exhaustive_category_ids": [],
    }


def _absent_categories(config: GlyphConfig, plan: SplitPlan, image: int) -> list[int]:
    absent = np.setdiff1d(np.arange(config.num_categories), plan.of_image(image), assume_unique=True)
    if len(absent) > config.max_neg_categories:
        rng = generator(config, "negatives", SPLITS.index(plan.split), image)
        absent = np.sort(rng.choice(absent, config.max_neg_categories, replace=False))
    return (absent + 1).tolist()


def annotation_record(annotation_id: int, image: int, placed: PlacedGlyph) -> dict:
    """Return the annotation of an object in LVIS format. The box and the area are computed from its polygons.

    Args:
        annotation_id: id of the annotation.
        image: id of the image.
        placed: category, shape and position of the object.
    """
    polygons = placed.polygons()
    points = np.concatenate(polygons)
    low, high = points.min(axis=0), points.max(axis=0)
    return {
        "id": annotation_id,
        "image_id": image,
        "category_id": placed.category + 1,
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "area": sum(polygon_area(polygon) for polygon in polygons),
        "segmentation": [polygon.ravel().tolist() for polygon in polygons],
    }


def polygon_area(points: np.ndarray) -> float:
    """Return the area of a polygon that does not intersect itself.

    Args:
        points: (K, 2), x and y of the K corners, in order along the polygon.
    """
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def write_split(file: TextIO, config: GlyphConfig, plan: SplitPlan, annotations: Iterable[list[str]]) -> None:
    """Write the annotation file of a split, with one image or annotation per line.

    Args:
        file: text file to write to.
        config: settings of the dataset.
        plan: categories of all images in the split.
        annotations: annotations as JSON strings, in lists of any length. They are written while they are generated.
    """
    images = (to_json(image_record(config, plan, image)) for image in range(plan.num_images))
    file.write(f'{{"info": {to_json(INFO)},\n"licenses": {to_json(LICENSES)},\n')
    _write_list(file, "categories", (to_json(record) for record in category_records(config)), ",")
    _write_list(file, "images", images, ",")
    _write_list(file, "annotations", (text for texts in annotations for text in texts), "}")


def to_json(value) -> str:
    return json.dumps(value, separators=(",", ":"))


def _write_list(file: TextIO, key: str, records: Iterable[str], end: str) -> None:
    file.write(f'"{key}": [')
    for index, record in enumerate(records):
        file.write(("\n" if index == 0 else ",\n") + record)
    file.write(f"\n]{end}\n")
