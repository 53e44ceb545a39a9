"""Store ground truth as an lvis-api object, and convert the ground truth to the input of an evaluation engine.

Shapes: I is the number of images, C is the number of categories, T is the number of IoU thresholds, R is the number of
recall levels, and A is the number of object sizes (all, small, medium, large).
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

# Field of annotations. The value is 1 if the mask cannot be read. Mask evaluation ignores these objects.
NO_MASK = "mask_unknown"
# End of lvis-api's largest range of areas, in pixels. Evaluation ignores larger objects.
LARGEST_AREA = 1e10


class GroundTruth(LVIS):
    """lvis-api's ``LVIS`` object, created from parsed data in LVIS or COCO format.

    Attributes:
        coco: if True, COCO's rules for crowds and for objects without an area apply. If False, LVIS's rules apply.
        groups_known: if True, ``frequency`` of each category is the category's frequency group. If False,
            ``frequency`` has no meaning.
    """

    coco = False
    groups_known = True

    @classmethod
    def from_data(cls, dataset: dict[str, Any], *, coco: bool = False) -> GroundTruth:
        """Create ground truth from parsed data. The constructor of ``LVIS`` accepts only a path.

        Args:
            dataset: dict with "images", "categories" and "annotations".
            coco: value of the attribute ``coco``.
        """
        result = cls.__new__(cls)
        result.coco = coco
        result.logger = logging.getLogger("lvis.lvis")
        result.dataset = dataset
        result._create_index()
        return result


def follows_coco(ground_truth: LVIS) -> bool:
    """Return True if COCO's rules apply to the ground truth, and False for lvis-api's own ``LVIS`` objects."""
    return getattr(ground_truth, "coco", False)


def subset(ground_truth: LVIS, image_ids: Collection[int]) -> GroundTruth:
    """Return the ground truth of the images with the given ids."""
    keep = set(image_ids)
    data = ground_truth.dataset
    images = [image for image in data["images"] if image["id"] in keep]
    annotations = [item for item in data["annotations"] if item["image_id"] in keep]
    data = {"images": images, "categories": data["categories"], "annotations": annotations}
    return GroundTruth.from_data(data, coco=follows_coco(ground_truth))


def counted_objects(ground_truth: LVIS, iou_type: str) -> dict[int, int]:
    """Return a dict from category id to the number of objects that count in the AP of boxes or masks.

    Ignored objects and objects outside of lvis-api's largest range of areas do not count.
    """
    masks, coco = iou_type == "segm", follows_coco(ground_truth)
    counts = dict.fromkeys(ground_truth.cats, 0)
    for item in itertools.chain.from_iterable(ground_truth.img_ann_map.values()):
        ignored = item.get("ignore", 0) or (masks and item.get(NO_MASK, 0))
        counts[item["category_id"]] += not ignored and (coco or item["area"] > 0) and item["area"] <= LARGEST_AREA
    return counts


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision and recall that an evaluation engine computed.

    Attributes:
        precision: (T, R, C, A) float64, precision in [0, 1], or -1 for a category without objects of a size.
        recall: (T, C, A) float64, maximum recall in [0, 1], or -1 for a category without objects of a size.
        category_ids: the C category ids in ascending order.
    """

    precision: np.ndarray
    recall: np.ndarray
    category_ids: list[int]


class RankedGroundTruth:
    """Ground truth with small integers ("ranks") instead of ids, as input of an evaluation engine.

    The rank of an image or a category is the position of its id in ascending order, starting at 0. The ranks of objects
    start at 1. Engines that store ids as float64 would round ids of more than 53 bits, but represent ranks exactly.

    Args:
        ground_truth: the ground truth with ids.
        iou_type: "bbox" or "segm".

    Attributes:
        image_ids: (I,) int64, image ids in ascending order.
        category_ids: the C category ids in ascending order.
        coco: as in ``GroundTruth``.
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
        """Return the images with the given ranks as dicts in LVIS's format, with ranks instead of ids."""
        found = []
        for rank in ranks:
            image = self._ground_truth.imgs[int(self.image_ids[rank])]
            fields = {"id": rank, "height": image["height"], "width": image["width"]}
            for field in ("neg_category_ids", "not_exhaustive_category_ids"):
                fields[field] = self._ranks_of(image[field])
            found.append(fields)
        return found

    def objects(self, ranks: Iterable[int]) -> list[dict[str, Any]]:
        """Return the objects in the images with the given ranks as dicts in LVIS's format, with ranks instead of ids.

        ``ignore`` of an object is 1 if evaluation ignores the object.
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
        """Replace the image and category ids of detections by ranks.

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
        """Return the ranks of category ids. Skip unknown ids.

        If ``category_ids`` contains all categories, cache the ranks, because many images share this collection.
        """
        key = id(category_ids)
        if key not in self._lists:
            ranks = [self._rank[value] for value in category_ids if value in self._rank]
            if len(ranks) < len(self._rank):
                return ranks
            # Keep a reference to category_ids. After its deletion, another object could get the same id().
            self._lists[key] = (category_ids, ranks)
        return self._lists[key][1]


def _positions(ids: np.ndarray, known: np.ndarray, name: str) -> np.ndarray:
    """Return the position of each id in ``known``.

    Args:
        ids: ids to look up.
        known: known ids in ascending order.
        name: kind of the ids for messages, such as "image".

    Raises:
        DataError: an id is unknown.
    """
    found = np.searchsorted(known, ids)
    wrong = known[np.minimum(found, len(known) - 1)] != ids if len(known) else np.ones(len(ids), dtype=bool)
    if wrong.any():
        unknown = first_few(np.unique(ids[wrong]))
        raise DataError(
            f"detections: expected {name} ids of the ground truth, found unknown {name} ids: {unknown}. Check that the "
            "detections belong to this data set"
        )
    return found
