"""Figure of detections beside ground truth."""

import json
from collections import defaultdict

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import Visualizer
from matplotlib.figure import Figure
from torchvision.ops import nms

from seesaw_d2.drawing.plain_text import plain_text, save_figure
from seesaw_d2.frequency_groups import GROUP_NAMES

SCALE = 3.0  # makes labels legible on small images
# Colours of the frequency groups, legible on most backgrounds. Last: groups are not known.
COLORS = ("#ff5500", "#00c8ff", "#ffffff", "#ffee00")


@plain_text()
def draw_predictions(dataset_name, results, path, *, num_images=6, min_score=0.3, groups=None) -> None:
    """Draw each image with its ground truth, then with the detections of each results file.

    Of detections with an IoU above 0.7 only the best is drawn.

    Args:
        dataset_name: name of a registered data set with annotations.
        results: title -> file in LVIS's results format.
        path: path of the figure; its extension gives the format.
        num_images: number of images. Those with the most objects of rare categories come first.
        min_score: minimum score of drawn detections, in [0, 1].
        groups: (C,) ints, 0 rare, 1 common, 2 frequent. None: the first images are drawn.
    """
    metadata = MetadataCatalog.get(dataset_name)
    records = _choose(DatasetCatalog.get(dataset_name), num_images, groups)
    columns = {"ground truth": {r["image_id"]: _truths(r) for r in records}}
    for title, file in results.items():
        columns[title] = _detections(file, min_score, metadata.thing_dataset_id_to_contiguous_id)
    per_row = 2 if len(records) > 1 else 1  # images side by side
    rows = -(-len(records) // per_row)
    figure = Figure(figsize=(3.0 * per_row * len(columns), 3.1 * rows + 0.4))
    axes = figure.subplots(rows, per_row * len(columns), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for index, record in enumerate(records):
        row = axes[index // per_row][(index % per_row) * len(columns) :]
        for ax, (title, objects) in zip(row, columns.items(), strict=False):
            ax.imshow(_draw(record, objects.get(record["image_id"], []), metadata, groups))
            if index < per_row:
                ax.set_title(title)
    if groups is not None:
        legend = ", ".join(
            f"{name} {color}" for name, color in zip(GROUP_NAMES, ("orange", "blue", "white"), strict=True)
        )
        figure.suptitle(f"categories by training images: {legend}", fontsize=10, y=0.995)
    figure.tight_layout()
    save_figure(figure, path, dpi=72)


def _draw(record, objects, metadata, groups):
    """Draw objects, (box XYXY, segmentation or None, category, score or None), on the image."""
    names = metadata.thing_classes
    labels = [names[c] if score is None else f"{names[c]} {score:.0%}" for _, _, c, score in objects]
    colors = [COLORS[-1 if groups is None else groups[c]] for _, _, c, _ in objects]
    masks = [segmentation for _, segmentation, _, _ in objects]
    visualizer = Visualizer(read_image(record["file_name"], "RGB"), metadata, scale=SCALE)
    if objects:
        visualizer.overlay_instances(
            boxes=np.array([box for box, _, _, _ in objects]),
            masks=None if any(mask is None for mask in masks) else masks,
            labels=labels,
            assigned_colors=colors,
            alpha=0.35,
        )
    return visualizer.output.get_image()


def _truths(record):
    return [
        (BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS), a.get("segmentation"), a["category_id"], None)
        for a in record["annotations"]
    ]


def _detections(file, min_score: float, index_of) -> dict:
    """Return image id -> objects to draw."""
    with open(file) as stream:
        results = json.load(stream)
    found = defaultdict(list)
    for r in results:
        if r["score"] >= min_score:
            box = BoxMode.convert(r["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)
            found[r["image_id"]].append((box, r.get("segmentation"), index_of[r["category_id"]], r["score"]))
    return {image: _best(objects) for image, objects in found.items()}


def _best(objects):
    boxes = torch.tensor([box for box, _, _, _ in objects])
    scores = torch.tensor([score for _, _, _, score in objects])
    return [objects[i] for i in nms(boxes, scores, 0.7).tolist()]


def _choose(records, num_images: int, groups):
    if groups is not None:
        rare = [sum(groups[a["category_id"]] == 0 for a in r["annotations"]) for r in records]
        records = [records[i] for i in np.argsort(-np.asarray(rare), kind="stable")]
    return records[:num_images]
