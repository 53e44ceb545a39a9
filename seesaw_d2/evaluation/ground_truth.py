"""Store ground truth as an lvis-api object, and convert it to the input of hotcoco, lvis-api or pycocotools.

Shapes: C is the number of categories, T is the number of IoU thresholds, R is the number of recall levels, and A is the
number of object sizes (all, small, medium, large).
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from lvis import LVIS

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

if TYPE_CHECKING:
    from seesaw_d2.evaluation.detections import Detections

# This project adds this field to annotations. The value is 1 if the mask of the object cannot be read. Evaluation of
# masks then ignores the object.
NO_MASK = "mask_unknown"
# Evaluation ignores objects with a larger area in pixels, as lvis-api does.
LARGEST_AREA = 1e10


class GroundTruth(LVIS):
    """lvis-api's ``LVIS`` object, created from parsed data in LVIS or COCO format.

    Attributes:
        coco: if True, evaluation treats crowds and objects without an area as COCO does. If False, as LVIS does.
        groups_known: if True, the field ``frequency`` of each category is its frequency group, "r", "c" or "f". If
            False, the groups are unknown, and ``frequency`` has no meaning.
    """

    coco = False
    groups_known = True

    @classmethod
    def from_data(cls, dataset: dict[str, Any], *, coco: bool = False) -> GroundTruth:
        """Create ground truth from parsed data. The constructor of ``LVIS`` accepts only a path.

        Args:
            dataset: dict with "images", "categories" and "annotations".
            coco: if True, evaluation treats crowds and objects without an area as COCO does. If False, as LVIS does.
        """
        result = cls.__new__(cls)
        result.coco = coco
        result.logger = logging.getLogger("lvis.lvis")
        result.dataset = dataset
        result._create_index()
        return result


def follows_coco(ground_truth: LVIS) -> bool:
    """Return True if evaluation treats crowds and objects without an area as COCO does, and False if as LVIS does.

    For lvis-api's own ``LVIS`` objects, the result is False.
    """
    return getattr(ground_truth, "coco", False)


def subset(ground_truth: LVIS, image_ids: Collection[int]) -> GroundTruth:
    """Return ground truth that contains only the images with the given ids, and their annotations."""
    keep = set(image_ids)
    data = ground_truth.dataset
    images = [image for image in data["images"] if image["id"] in keep]
    annotations = [item for item in data["annotations"] if item["image_id"] in keep]
    data = {"images": images, "categories": data["categories"], "annotations": annotations}
    return GroundTruth.from_data(data, coco=follows_coco(ground_truth))


def counted_objects(ground_truth: LVIS, iou_type: str) -> dict[int, int]:
    """Return a dict from category id to the number of ground-truth objects that count in AP.

    Ignored objects and objects with an area above ``LARGEST_AREA`` do not count. With LVIS's rules, objects without an
    area also do not count.

    Args:
        ground_truth: the ground truth.
        iou_type: "bbox" for the AP of boxes, or "segm" for the AP of masks, which also ignores objects without a
            readable mask.
    """
    masks, coco = iou_type == "segm", follows_coco(ground_truth)
    counts = dict.fromkeys(ground_truth.cats, 0)
    for item in itertools.chain.from_iterable(ground_truth.img_ann_map.values()):
        ignored = item.get("ignore", 0) or (masks and item.get(NO_MASK, 0))
        counts[item["category_id"]] += not ignored and (coco or item["area"] > 0) and item["area"] <= LARGEST_AREA
    return counts


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall at T IoU thresholds, for C categories and A object sizes (all, small, medium, large).

    Attributes:
        precision: (T, R, C, A) float64, precision in [0, 1] at R recall levels. The value is -1 for a category without
            objects of a size.
        recall: (T, C, A) float64, maximum recall in [0, 1]. The value is -1 for a category without objects of a size.
        category_ids: the C category ids in ascending order.
    """

    precision: np.ndarray
    recall: np.ndarray
    category_ids: list[int]


class RankedGroundTruth:
    """Ground truth with small integers ("ranks") instead of ids, as input of hotcoco or pycocotools.

    The rank of an image or a category is the index of its id in ascending order, starting at 0. The ranks of objects
    start at 1. hotcoco stores ids as float64, which would round ids of more than 53 bits, but represents ranks exactly.

    Args:
        ground_truth: the ground truth with ids.
        iou_type: "bbox" or "segm".

    Attributes:
        image_ids: int64 array of all image ids in ascending order.
        category_ids: list of all category ids in ascending order.
        coco: if True, evaluation treats crowds and objects without an area as COCO does. If False, as LVIS does.
    """

    def __init__(self, ground_truth: LVIS, iou_type: str):
        self.image_ids = np.array(sorted(ground_truth.imgs), dtype=np.int64)
        self.category_ids: list[int] = sorted(ground_truth.cats)
        self.coco = follows_coco(ground_truth)
        self._ground_truth, self._iou_type = ground_truth, iou_type
        self._rank = {key: rank for rank, key in enumerate(self.category_ids)}
        self._numbers = itertools.count(1)
        self._lists: dict[int, tuple[Any, list[int]]] = {}

    def categories(self) -> list[dict[str, Any]]:
        cats = self._ground_truth.cats
        return [
            {"id": rank, "name": str(cats[key].get("name", key)), "frequency": "f"} for key, rank in self._rank.items()
        ]

    def images(self, ranks: Iterable[int]) -> list[dict[str, Any]]:
        """Return some images as dicts in LVIS's format, with ranks instead of ids.

        ``ranks`` are the indices of the images in ascending order of image ids.
        """
        found = []
        for rank in ranks:
            image = self._ground_truth.imgs[int(self.image_ids[rank])]
            fields = {"id": rank, "height": image["height"], "width": image["width"]}
            for field in ("neg_category_ids", "not_exhaustive_category_ids"):
                fields[field] = self._ranks_of(image[field])
            found.append(fields)
        return found

    def objects(self, ranks: Iterable[int]) -> list[dict[str, Any]]:
        """Return the annotations of some images as dicts in LVIS's format, with ranks instead of ids.

        ``ranks`` are the indices of the images in ascending order of image ids. The field ``ignore`` of an annotation
        is 1 if evaluation ignores the object.
        """
        masks, found = self._iou_type == "segm", []
        for rank in ranks:
            for annotation in self._ground_truth.img_ann_map.get(int(self.image_ids[rank]), ()):
                item = {
                    "id": next(self._numbers),
                    "image_id": rank,
                    "category_id": self._rank[annotation["category_id"]],
                    "bbox": annotation["bbox"],
                    "area": float(annotation["area"]),
                    "ignore": int(annotation.get("ignore", 0) or (masks and annotation.get(NO_MASK, 0))),
                }
                if masks:
                    item["segmentation"] = annotation["segmentation"]
                found.append(item)
        return found

    def detections(self, detections: Detections) -> Detections:
        """Replace the image and category ids of detections by ranks, the indices of the ids in ascending order.

        Raises:
            DataError: the ground truth does not contain the image or the category of a detection.
        """
        categories = np.array(self.category_ids, dtype=np.int64)
        return dataclasses.replace(
            detections,
            image_ids=_positions(detections.image_ids, self.image_ids, "image"),
            category_ids=_positions(detections.category_ids, categories, "category"),
        )

    def _ranks_of(self, category_ids: Iterable[int]) -> list[int]:
        """Return the ranks of category ids, their indices in ascending order. Skip unknown ids.

        If ``category_ids`` contains all categories, cache the result, because many images share this collection.
        """
        key = id(category_ids)
        if key not in self._lists:
            ranks = [self._rank[value] for value in category_ids if value in self._rank]
            if len(ranks) < len(self._rank):
                return ranks
            # The key is the id() of category_ids. Also store category_ids, because another object could get the same
            # id() after its deletion.
            self._lists[key] = (category_ids, ranks)
        return self._lists[key][1]


def _positions(ids: np.ndarray, known: np.ndarray, name: str) -> np.ndarray:
    """Return the index of each id in the sorted array ``known``.

    Args:
        ids: ids to look up.
        known: all valid ids in ascending order.
        name: "image" or "category", for the error message.

    Raises:
        DataError: an id is not in ``known``.
    """
    found = np.searchsorted(known, ids)
    wrong = known[np.minimum(found, len(known) - 1)] != ids if len(known) else np.ones(len(ids), dtype=bool)
    if wrong.any():
        unknown = first_few(np.unique(ids[wrong]))
        raise DataError(
            f"detections: expected {name} ids of the ground truth, found unknown {name} ids: {unknown}. Check that the "
            "detections belong to this dataset"
        )
    return found
