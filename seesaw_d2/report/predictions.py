"""Predictions beside ground truth."""

import json
from collections import defaultdict

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.visualizer import Visualizer
from matplotlib.figure import Figure
from pycocotools import mask as mask_util

SCALE = 3.0  # labels are legible on small images


def draw_predictions(dataset_name: str, results_file, path, *, num_images=6, min_score=0.3, groups=None) -> None:
    """Write a PNG: per image the ground truth on the left and the detections on the right.

    Args:
        dataset_name: a registered data set.
        results_file: detections in LVIS's results format, as an evaluation writes them.
        path: where the PNG goes.
        num_images: how many images; those with the most objects of rare categories come first.
        min_score: in [0, 1], detections below are left out.
        groups: (C,) ints, 0 rare, 1 common, 2 frequent; None: images are taken in order.
    """
    metadata = MetadataCatalog.get(dataset_name)
    detections = _by_image(results_file, min_score)
    images = _choose(DatasetCatalog.get(dataset_name), num_images, groups)
    columns = 2 * min(len(images), 2)
    rows = -(-len(images) // (columns // 2))
    figure = Figure(figsize=(3.2 * columns, 3.4 * rows))
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for index, record in enumerate(images):
        left, right = axes[index // (columns // 2)][2 * (index % (columns // 2)) :][:2]
        image = read_image(record["file_name"], "RGB")
        truth = Visualizer(image, metadata, scale=SCALE).draw_dataset_dict(record)
        instances = _instances(detections[record["image_id"]], record, metadata)
        predicted = Visualizer(image, metadata, scale=SCALE).draw_instance_predictions(instances)
        for ax, drawn, title in ((left, truth, "ground truth"), (right, predicted, "detections")):
            ax.imshow(drawn.get_image())
            ax.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _by_image(results_file, min_score: float):
    with open(results_file) as file:
        results = json.load(file)
    detections = defaultdict(list)
    for result in results:
        if result["score"] >= min_score:
            detections[result["image_id"]].append(result)
    return detections


def _choose(records, num_images: int, groups):
    if groups is not None:
        rare = [sum(groups[a["category_id"]] == 0 for a in r["annotations"]) for r in records]
        records = [records[i] for i in np.argsort(-np.asarray(rare), kind="stable")]
    return records[:num_images]


def _instances(results, record, metadata) -> Instances:
    """Detections in LVIS's results format -> Detectron2's Instances."""
    index_of = metadata.thing_dataset_id_to_contiguous_id
    instances = Instances((record["height"], record["width"]))
    boxes = [BoxMode.convert(r["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS) for r in results]
    instances.pred_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    instances.scores = torch.tensor([r["score"] for r in results])
    instances.pred_classes = torch.tensor([index_of[r["category_id"]] for r in results], dtype=torch.int64)
    if results and all("segmentation" in r for r in results):
        masks = np.stack([mask_util.decode(r["segmentation"]) for r in results])
        instances.pred_masks = torch.from_numpy(masks).bool()
    return instances
