"""Create model outputs from ground truth."""

import numpy as np
import torch
from detectron2.structures import Boxes, BoxMode, Instances
from pycocotools import mask as mask_utils


def predict(record: dict, *, masks: bool = True, shift: float = 0.0, scores=None) -> Instances:
    """Return the objects of a dataset dict as Instances, moved by ``shift`` pixels to the right."""
    objects = [item for item in record["annotations"] if not item.get("iscrowd", 0)]
    size = (record["height"], record["width"])
    result = Instances(size)
    boxes = np.array([item["bbox"] for item in objects], dtype=np.float64).reshape(-1, 4)
    boxes = BoxMode.convert(boxes, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)
    boxes[:, [0, 2]] += shift
    result.pred_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32))
    result.pred_classes = torch.tensor([item["category_id"] for item in objects], dtype=torch.int64)
    result.scores = torch.ones(len(objects)) if scores is None else scores(len(objects))
    if masks:
        planes = [_moved(_mask(item["segmentation"], size), int(shift)) for item in objects]
        result.pred_masks = torch.as_tensor(np.array(planes).reshape(-1, *size).astype(bool))
    return result


def _mask(segmentation, size) -> np.ndarray:
    rle = segmentation
    if isinstance(segmentation, list):
        rle = mask_utils.merge(mask_utils.frPyObjects(segmentation, *size))
    return mask_utils.decode(rle)


def _moved(mask: np.ndarray, shift: int) -> np.ndarray:
    moved = np.roll(mask, shift, axis=1)
    moved[:, :shift] = 0
    return moved


def evaluate(evaluator, records, **options):
    evaluator.reset()
    for record in records:
        evaluator.process([record], [{"instances": predict(record, **options)}])
    return evaluator.evaluate()
