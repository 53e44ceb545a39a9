"""Test that the annotations of the glyph dataset are in LVIS v1 format and agree with the images."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

FIELDS = {
    "info": {"description", "url", "version", "year", "contributor", "date_created"},
    "licenses": {"id", "name", "url"},
    "images": {
        "id", "width", "height", "coco_url", "flickr_url", "license", "date_captured",
        "neg_category_ids", "not_exhaustive_category_ids",
    },
    "annotations": {"id", "image_id", "category_id", "bbox", "area", "segmentation"},
    "categories": {
        "id", "name", "synset", "synonyms", "def", "image_count", "instance_count", "frequency",
    },
}  # fmt: skip


@pytest.fixture(params=["train", "val"])
def split(request):
    return request.param


def rasterize(annotation, size):
    return mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(annotation["segmentation"], size, size)))


def annotations_by_image(data):
    found = {image["id"]: [] for image in data["images"]}
    for annotation in data["annotations"]:
        found[annotation["image_id"]].append(annotation)
    return found


def test_every_field_of_lvis(small_json, split):
    data = small_json[split]
    assert data.keys() == FIELDS.keys()
    assert data["info"].keys() == FIELDS["info"]
    for key in FIELDS.keys() - {"info"}:
        assert all(record.keys() == FIELDS[key] for record in data[key]), key


def test_ids_are_unique_and_categories_count_from_one(small_json, small_config):
    train, val = small_json["train"], small_json["val"]
    images = [image["id"] for data in (train, val) for image in data["images"]]
    assert len(set(images)) == len(images) == 170
    for data in (train, val):
        assert [record["id"] for record in data["annotations"]] == list(range(1, len(data["annotations"]) + 1))
        assert [record["id"] for record in data["categories"]] == list(range(1, 45))


def test_frequencies_are_those_of_the_training_annotations(small_json):
    train = small_json["train"]
    instances = Counter(record["category_id"] for record in train["annotations"])
    pairs = {(record["category_id"], record["image_id"]) for record in train["annotations"]}
    images = Counter(category for category, _ in pairs)
    for category in train["categories"]:
        assert category["instance_count"] == instances[category["id"]]
        assert category["image_count"] == images[category["id"]]
        expected = "r" if images[category["id"]] <= 10 else "c"
        assert category["frequency"] == expected
    assert small_json["val"]["categories"] == train["categories"]


def test_absent_categories_are_negative(small_json, split):
    data = small_json[split]
    for image, annotations in annotations_by_image(data).items():
        record = next(record for record in data["images"] if record["id"] == image)
        present = {annotation["category_id"] for annotation in annotations}
        assert set(record["neg_category_ids"]) == set(range(1, 45)) - present
        assert record["not_exhaustive_category_ids"] == []


def test_polygons_boxes_and_areas_agree(small_json, small_config, split):
    size = small_config.image_size
    for annotation in small_json[split]["annotations"]:
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in annotation["segmentation"]])
        low, high = points.min(axis=0), points.max(axis=0)
        assert low.min() >= 0
        assert high.max() <= size
        assert annotation["bbox"] == [*low, *(high - low)]
        assert all(len(polygon) >= 6 for polygon in annotation["segmentation"])
        assert rasterize(annotation, size).sum() == pytest.approx(annotation["area"], rel=0.05)


def test_sizes_are_those_asked_for(small_json, small_config):
    low, high = (fraction * small_config.image_size for fraction in small_config.object_size)
    sides = [max(annotation["bbox"][2:]) for annotation in small_json["train"]["annotations"]]
    assert low - 1 <= min(sides) <= low + 3
    assert high - 3 <= max(sides) <= high + 1


def test_objects_do_not_overlap(small_json, small_config, split):
    for annotations in annotations_by_image(small_json[split]).values():
        masks = [rasterize(annotation, small_config.image_size) for annotation in annotations]
        assert np.sum(masks, axis=0).max() <= 1


def test_pictures_lie_where_detectron2_looks(small_set, small_json, small_config, split):
    for image in small_json[split]["images"]:
        folder, name = image["coco_url"].split("/")[-2:]
        with Image.open(small_set / "images" / folder / name) as picture:
            assert picture.size == (image["width"], image["height"]) == (small_config.image_size,) * 2
            assert picture.mode == "RGB"


def test_masks_lie_on_the_objects(small_set, small_json, small_config):
    """Test that pixels just inside a mask differ from pixels just outside. This fails for shifted masks."""
    steps, shifted_steps = [], []
    data = small_json["val"]
    for image, annotations in annotations_by_image(data).items():
        picture = np.asarray(Image.open(small_set / f"images/val/{image:012d}.jpg"), dtype=np.float64)
        for annotation in annotations:
            mask = rasterize(annotation, small_config.image_size).astype(bool)
            steps.append(edge_step(picture, mask))
            shifted_steps.append(edge_step(picture, np.roll(mask, (4, 4), axis=(0, 1))))
    assert np.mean(steps) > 45
    assert np.mean(steps) > 1.5 * np.mean(shifted_steps)


def edge_step(picture, mask):
    """Return the difference in color between the pixels inside and outside the edge of a mask."""
    neighbors = [np.roll(mask, step, axis=axis) for step in (-1, 1) for axis in (0, 1)]
    inner = mask & ~np.all(neighbors, axis=0)
    outer = ~mask & np.any(neighbors, axis=0)
    return np.abs(picture[inner].mean(axis=0) - picture[outer].mean(axis=0)).max()
