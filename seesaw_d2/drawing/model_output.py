"""Draw the output of a model: masks, boxes, names, scores, and marks of the frequency groups."""

import numpy as np
from detectron2.structures import Instances
from detectron2.utils.visualizer import Visualizer

from seesaw_d2.drawing.plain_text import plain_text

# Colours of rare, common and frequent categories, and of categories whose group is unknown.
COLORS = ("#ff8a3d", "#00c8ff", "#ffffff", "#ffee00")
# Marks after the names of rare, common and frequent categories.
MARKS = (" ●R", " ○C", "")


@plain_text()
def draw_instances(
    image: np.ndarray,
    instances: Instances,
    names: list[str],
    groups: np.ndarray | None = None,
    min_score: float = 0.5,
) -> np.ndarray:
    """Draw detections on an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        instances: output of a Detectron2 model, on the CPU.
        names: C category names.
        groups: (C,) frequency group of each category (0 rare, 1 common, 2 frequent), which selects colour and mark.
            None: use one colour and no marks.
        min_score: minimum score of drawn detections, in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB image with the detections.
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
