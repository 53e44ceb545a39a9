"""LVIS's average precision of given results, by lvis-api."""

from typing import Any

from lvis import LVIS, LVISResults

from seesaw_d2.compat import lvis_eval_class

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")

Results = list[dict[str, Any]]


def average_precision(ground_truth: LVIS, results: Results, iou_type: str, max_dets_per_image: int) -> dict[str, float]:
    """LVIS's metrics.

    Args:
        ground_truth: see ``lvis_ground_truth``.
        results: detections in LVIS's result format; not changed.
        iou_type: "bbox" or "segm". The size of a detection is that of its box or of its mask.
        max_dets_per_image: only so many detections with the highest scores count in an image.

    Returns:
        Percent, for each of METRICS. nan where there is nothing to find (no object of that size or group);
        0 where there is and nothing was, as with no detections at all.
    """
    field = {"bbox": "bbox", "segm": "segmentation"}[iou_type]
    # lvis-api takes the size from the box where a result has one, and writes into the results.
    fields = ("image_id", "category_id", "score", field)
    results = [{key: result[key] for key in fields} for result in results]
    evaluation = lvis_eval_class()(ground_truth, _lvis_results(ground_truth, results, max_dets_per_image), iou_type)
    evaluation.run()
    found = evaluation.get_results()
    # -1 is lvis-api's way to say that there was nothing to find.
    return {name: float(found[name]) * 100 if found[name] >= 0 else float("nan") for name in METRICS}


def _lvis_results(ground_truth: LVIS, results: Results, max_dets_per_image: int) -> LVISResults:
    # LVISResults copies the ground truth with all of its annotations, only to put the results in their place.
    frame = LVIS.__new__(LVIS)
    frame.dataset = {**ground_truth.dataset, "annotations": []}
    if results:
        return LVISResults(frame, results, max_dets=max_dets_per_image)
    # It cannot be made of an empty list (it looks at the first result).
    empty = LVISResults.__new__(LVISResults)
    empty.logger = ground_truth.logger
    empty.dataset = frame.dataset
    empty._create_index()
    return empty
