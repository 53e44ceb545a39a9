"""Draw the detections of a model on an image: masks, boxes, category names, scores, and frequency groups."""

import cv2
import numpy as np
import torch.nn.functional as F
from detectron2.structures import Instances
from detectron2.utils.visualizer import VisImage, Visualizer

from seesaw_d2.drawing.plain_text import plain_text

# The color of a detection shows whether its category is rare, common, frequent, or of an unknown frequency group.
COLORS = ("#ff8a3d", "#00c8ff", "#ffffff", "#ffee00")
# Symbols after the names of rare, common and frequent categories, so that the groups are visible without colors.
MARKS = (" ●R", " ○C", "")
# Smaller images are enlarged until their longer side has this number of pixels, so that there is space for labels. If
# you change this number, also change the help text of demo.py in arguments.py.
READABLE_SIZE = 512


@plain_text()
def draw_instances(
    image: np.ndarray,
    instances: Instances,
    names: list[str],
    groups: np.ndarray | None = None,
    min_score: float = 0.5,
    min_size: int = 0,
) -> np.ndarray:
    """Draw detections on an image.

    Args:
        image: (H, W, 3) uint8, RGB image.
        instances: output of a Detectron2 model for this image, on the CPU.
        names: names of the C categories.
        groups: (C,) frequency group of each category (0: rare, 1: common, 2: frequent). The group selects the color
            and the text after the name. If None, all detections have the same color.
        min_score: minimum score of drawn detections, in [0, 1].
        min_size: minimum length of the longer side of the drawing, in pixels. Smaller images are enlarged before
            drawing. The boxes and masks in ``instances`` stay unchanged.

    Returns:
        the RGB image with the detections, (H, W, 3) uint8. If it is enlarged, it has the aspect ratio of ``image``.
    """
    image, shown = _enlarged(image, instances[instances.scores >= min_score], min_size)
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
    _keep_labels_inside(visualizer.output)
    return visualizer.output.get_image()


def _enlarged(image: np.ndarray, instances: Instances, min_size: int) -> tuple[np.ndarray, Instances]:
    """Enlarge a small image and its detections, so that labels have enough space.

    Args:
        image: (H, W, 3) uint8, RGB image.
        instances: detections in this image. They stay unchanged.
        min_size: minimum length of the longer side of the result in pixels.

    Returns:
        the enlarged image, and a copy of the detections with enlarged boxes and masks. The arguments themselves if the
        image is large enough.
    """
    height, width = image.shape[:2]
    factor = min_size / max(height, width)
    if factor <= 1:
        return image, instances
    size = (max(round(height * factor), 1), max(round(width * factor), 1))
    resized = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=cv2.INTER_CUBIC)
    larger = Instances(size, scores=instances.scores, pred_classes=instances.pred_classes)
    larger.pred_boxes = instances.pred_boxes.clone()
    larger.pred_boxes.scale(size[1] / width, size[0] / height)
    if instances.has("pred_masks"):
        masks = instances.pred_masks[:, None].float()
        masks = F.interpolate(masks, size, mode="bilinear", align_corners=False) if len(masks) else masks
        larger.pred_masks = masks[:, 0] >= 0.5
    return resized, larger


def _keep_labels_inside(output: VisImage) -> None:
    """Move the text labels of a drawing that are partly outside of the image into the image."""
    renderer, pad = output.canvas.get_renderer(), 2
    for text in output.ax.texts:
        (x, y), box = text.get_position(), text.get_window_extent(renderer)  # in this box, y grows upwards
        left, top = box.x0 - pad, output.height - box.y1 - pad
        right, bottom = box.x1 + pad - output.width, pad - box.y0
        # If a label is longer than the image, keep its beginning visible.
        text.set_position((x - min(max(right, 0), left), y - min(max(bottom, 0), top)))
