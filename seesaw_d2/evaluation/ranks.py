"""Images, objects and detections as an engine gets them: with ranks for ids.

Ids are integers of 64 bits. An engine may keep them as float64, which has 53.
"""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from lvis import LVIS

from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.ground_truth import NO_MASK, follows_coco
from seesaw_d2.utils.messages import first_few


class RankedGroundTruth:
    """A ground truth whose images and categories are numbered from 0 by ascending id, its objects from 1.

    Attributes:
        image_ids: (I,) int64, ascending.
        category_ids: C of them, ascending.
        coco: whether COCO's rules hold.
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
        """LVIS's fields of some images."""
        found = []
        for rank in ranks:
            image = self._ground_truth.imgs[int(self.image_ids[rank])]
            fields = {"id": rank, "height": image["height"], "width": image["width"]}
            for field in ("neg_category_ids", "not_exhaustive_category_ids"):
                fields[field] = self._ranks_of(image[field])
            found.append(fields)
        return found

    def objects(self, ranks: Iterable[int]) -> list[dict[str, Any]]:
        """The objects of some images, with ``ignore`` for those that need not be found."""
        masks, found = self._iou_type == "segm", []
        for rank in ranks:
            for annotation in self._ground_truth.img_ann_map.get(int(self.image_ids[rank]), ()):
                item = {
                    "id": next(self._numbers),
                    "image_id": rank,
                    "category_id": self._rank[annotation["category_id"]],
                }
                item |= {"bbox": annotation["bbox"], "area": float(annotation["area"])}
                item["ignore"] = int(annotation.get("ignore", 0) or (masks and annotation.get(NO_MASK, 0)))
                if masks:
                    item["segmentation"] = annotation["segmentation"]
                found.append(item)
        return found

    def detections(self, detections: Detections) -> Detections:
        """The detections with ranks for ids.

        Raises:
            DataError: an image or a category is not in the ground truth.
        """
        categories = np.array(self.category_ids, dtype=np.int64)
        return dataclasses.replace(
            detections,
            image_ids=_positions(detections.image_ids, self.image_ids, "image"),
            category_ids=_positions(detections.category_ids, categories, "category"),
        )

    def _ranks_of(self, category_ids: Iterable[int]) -> list[int]:
        """Made once for a list that many images share. Categories that the file does not have change nothing."""
        key = id(category_ids)
        if key not in self._lists:
            ranks = [self._rank[value] for value in category_ids if value in self._rank]
            if len(ranks) < len(self._rank):
                return ranks
            self._lists[key] = (category_ids, ranks)  # which keeps it, and so its address
        return self._lists[key][1]


def _positions(ids: np.ndarray, known: np.ndarray, name: str) -> np.ndarray:
    """The position of each id in ``known``, which is ascending."""
    found = np.searchsorted(known, ids)
    wrong = known[np.minimum(found, len(known) - 1)] != ids if len(known) else np.ones(len(ids), dtype=bool)
    if wrong.any():
        raise DataError(
            f"detections: expected {name} ids of the ground truth, found others: {first_few(np.unique(ids[wrong]))}"
        )
    return found
