"""Evaluate detections on a subset of the images of a registered dataset, for example on one fold."""

import functools
from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode

from seesaw_d2.data.records.catalog import category_ids, read_annotation_file
from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.category_frequency import frequency_letters
from seesaw_d2.evaluation.detection_metrics import detections_per_image
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.evaluate import evaluate_detections
from seesaw_d2.evaluation.ground_truth import subset
from seesaw_d2.evaluation.ground_truth_rules import ground_truth_with_groups


class EvaluatedImages:
    """Compute LVIS's metrics, such as AP and APr, on a subset of the images in a dataset.

    Args:
        cfg: config with DATASETS.TRAIN, which can define the frequency groups, and TEST.
        dataset_name: name of a registered dataset with annotations in LVIS or COCO format.
        image_ids: ids of the images to evaluate. Default: all images.

    Raises:
        DataError: the dataset has no annotations.
    """

    def __init__(self, cfg: CfgNode, dataset_name: str, image_ids: Sequence[int] | None = None):
        self._cfg, self._name, self._image_ids = cfg, dataset_name, image_ids
        self._limit = detections_per_image(cfg)

    @functools.cached_property
    def _ground_truth(self):
        file = read_annotation_file(self._name)
        if not file.ground_truth:
            raise DataError(
                f"{file.path}: the file contains no annotations, so it cannot be used for evaluation. Use a dataset "
                "with annotations"
            )
        found = ground_truth_with_groups(file, frequency_letters(self._cfg, self._name, file))
        if self._image_ids is None:
            return found
        chosen = subset(found, self._image_ids)
        chosen.groups_known = found.groups_known
        return chosen

    @functools.cached_property
    def _category_ids(self) -> np.ndarray:
        return np.array(category_ids(self._name, read_annotation_file(self._name)), dtype=np.int64)

    def metrics(
        self, detections: Detections, iou_type: str = "bbox", extra: Sequence[str] = ("fixed",)
    ) -> dict[str, float]:
        """Compute the metrics of detections in the evaluated images.

        Args:
            detections: detections with contiguous category indices.
            iou_type: "bbox" or "segm".
            extra: names of further metrics to compute, such as "fixed" for AP_fixed.

        Returns:
            a dict from metric to percent.
        """
        found = detections.with_category_ids(self._category_ids[detections.category_ids])
        ground_truth = self._ground_truth
        return evaluate_detections(
            ground_truth,
            found,
            iou_type,
            max_dets_per_image=self._limit,
            engine=self._cfg.TEST.LVIS_ENGINE,
            extra=extra,
            groups_known=ground_truth.groups_known,
        )[0]
