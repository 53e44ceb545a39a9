"""Compare the detections of this project and of MMDetection on one image.

Shapes: D detections, H x W pixels of the image.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from detectron2.modeling import build_model

from seesaw_d2.data.images.resizing import build_mapper
from seesaw_d2.weights.converters import convert_mmdet


@dataclass(frozen=True)
class Detections:
    """Store boxes (D, 4), x0 y0 x1 y1 in pixels of the image, scores (D,), labels (D,), and masks (D, H, W) bool."""

    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor


@dataclass(frozen=True)
class Distance:
    """Store the number of matched detections (same class, same place), and the largest differences between them."""

    matched: int
    boxes: float
    scores: float
    pixels: int


def write_picture(path: Path, height: int, width: int) -> str:
    """Write an image of coarse random spots with fine noise. The image is the same on every machine."""
    random = np.random.RandomState(5)
    coarse = random.randint(0, 256, (height // 20 + 1, width // 20 + 1, 3)).repeat(20, axis=0).repeat(20, axis=1)
    fine = random.randint(-30, 31, (height, width, 3))
    cv2.imwrite(str(path), np.clip(coarse[:height, :width] + fine, 0, 255).astype(np.uint8))
    return str(path)


def ours(cfg, state: dict[str, torch.Tensor], picture: str) -> Detections:
    """Return this project's model of a config with the converted weights of MMDetection's ``state``."""
    converted, unrecognized = convert_mmdet(state)
    assert unrecognized == []
    model = build_model(cfg).eval()
    lacking = model.load_state_dict(converted, strict=False)
    assert lacking.unexpected_keys == []
    assert [name for name in lacking.missing_keys if not name.endswith("num_batches_tracked")] == []
    height, width = cv2.imread(picture).shape[:2]
    record = {"file_name": picture, "image_id": 0, "height": height, "width": width}
    with torch.no_grad():
        (found,) = model([build_mapper(cfg, is_train=False)(record)])
    found = found["instances"]
    return Detections(found.pred_boxes.tensor, found.scores, found.pred_classes, found.pred_masks)


def theirs(model, cfg, picture: str) -> Detections:
    """Run MMDetection's model with its own pipeline and post-processing."""
    from mmengine.dataset import Compose

    steps = [step for step in cfg.test_pipeline if step["type"] != "LoadAnnotations"]
    data = Compose(steps)({"img_path": picture, "img_id": 0})
    with torch.no_grad():
        (found,) = model.test_step({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]})
    found = found.pred_instances
    return Detections(found.bboxes, found.scores, found.labels, torch.as_tensor(found.masks))


def distance(first: Detections, second: Detections, box: float = 1e-3, score: float = 1e-6) -> Distance:
    """Match each detection with a detection of the same class within the tolerances, in any order."""
    near = first.labels[:, None] == second.labels
    near &= (first.boxes[:, None] - second.boxes).abs().amax(dim=2) <= box
    near &= (first.scores[:, None] - second.scores).abs() <= score
    free, pairs = set(range(len(second.labels))), []
    for index, row in enumerate(near):
        choice = next((other for other in row.nonzero().flatten().tolist() if other in free), None)
        if choice is not None:
            free.remove(choice)
            pairs.append((index, choice))
    if not pairs:
        return Distance(0, 0.0, 0.0, 0)
    a, b = torch.tensor(pairs).T
    return Distance(
        len(pairs),
        (first.boxes[a] - second.boxes[b]).abs().max().item(),
        (first.scores[a] - second.scores[b]).abs().max().item(),
        int((first.masks[a] != second.masks[b]).flatten(1).sum(dim=1).max()),
    )
