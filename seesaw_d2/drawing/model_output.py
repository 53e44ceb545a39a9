"""A model's output on a picture: masks, boxes, names, scores, and a mark for the frequency group."""

import numpy as np
from detectron2.structures import Instances
from detectron2.utils.visualizer import Visualizer

from seesaw_d2.drawing.comparison import COLORS

# After the name: rare, common; frequent categories have none.
MARKS = (" ●R", " ○C", "")


def draw_instances(
    image: np.ndarray,
    instances: Instances,
    names: list[str],
    groups: np.ndarray | None = None,
    min_score: float = 0.5,
) -> np.ndarray:
    """The image with its detections.

    Args:
        image: (H, W, 3) uint8 RGB.
        instances: a Detectron2 model's output for it, on the CPU.
        names: C category names.
        groups: (C,) 0 rare, 1 common, 2 frequent: colours and marks; None: one colour and no marks.
        min_score: detections below are left out.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    shown = instances[instances.scores >= min_score]
    if not len(shown):
        return image
    classes = shown.pred_classes.tolist()
    marks = ["" if groups is None else MARKS[groups[c]] for c in classes]
    labels = [
        f"{names[c]} {score:.0%}{mark}" for c, score, mark in zip(classes, shown.scores.tolist(), marks, strict=True)
    ]
    visualizer = Visualizer(image)
    visualizer.overlay_instances(
        boxes=shown.pred_boxes.tensor.numpy(),
        masks=shown.pred_masks.numpy() if shown.has("pred_masks") else None,
        labels=labels,
        assigned_colors=[COLORS[-1 if groups is None else groups[c]] for c in classes],
        alpha=0.4,
    )
    return visualizer.output.get_image()
