"""Compute the IoU between detections and ground-truth objects of any category in the same image.

Shapes: D is the number of detections and G is the number of ground-truth objects in an image.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from lvis import LVIS
from pycocotools import mask as mask_utils

from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.ground_truth import NO_MASK


def overlaps(
    ground_truth: LVIS, detections: Detections, iou_type: str = "bbox"
) -> Iterator[tuple[int, list[dict[str, Any]], np.ndarray, np.ndarray]]:
    """Compute the IoU between all detections and all ground-truth objects of each image.

    Args:
        ground_truth: ground truth as an lvis-api object.
        detections: detections in all images.
        iou_type: "bbox" or "segm". If the detections have no boxes, "bbox" uses the bounding boxes of the masks. With
            "segm", the IoU of an object without a readable mask is 0.

    Yields:
        for each image, in ascending order of image ids, a tuple with the image id, the list of the annotations of the
        G objects in the image, the indices (D,) in ``detections`` of the D detections in the image, and the IoU (D, G).
    """
    masks = iou_type == "segm"
    found = detections.rles() if masks else _boxes(detections)
    order = np.argsort(detections.image_ids, kind="stable")
    ordered = detections.image_ids[order]
    for image_id in sorted(ground_truth.imgs):
        objects = ground_truth.img_ann_map.get(image_id, [])
        low, high = (np.searchsorted(ordered, image_id, side) for side in ("left", "right"))
        mine = order[low:high]
        iou = np.zeros((len(mine), len(objects)))
        seen = [index for index, item in enumerate(objects) if not (masks and item.get(NO_MASK, 0))]
        if len(mine) and seen:
            crowds = [0] * len(seen)
            if masks:
                truth = [ground_truth.ann_to_rle(objects[index]) for index in seen]
                iou[:, seen] = mask_utils.iou([found[index] for index in mine.tolist()], truth, crowds)
            else:
                boxes = np.array([objects[index]["bbox"] for index in seen], dtype=np.float64)
                iou[:, seen] = mask_utils.iou(found[mine], boxes, crowds)
        yield image_id, objects, mine, iou


def _boxes(detections: Detections) -> np.ndarray:
    if detections.boxes is not None:
        return detections.boxes
    return np.asarray(mask_utils.toBbox(detections.rles()), dtype=np.float64).reshape(-1, 4)
