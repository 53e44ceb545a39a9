"""Measure the accuracy of a detector's box classifier, with ground-truth boxes as proposals (Seesaw paper, Figure 1).

Shapes: G is the number of ground-truth objects.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.evaluation.evaluator import inference_context
from detectron2.layers import cat
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm
from torch import nn

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.results_files import write_json
from seesaw_d2.frequency_groups import GROUP_NAMES
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

CLASSIFICATION_FILE = "classification.json"
_BINS = 20


@dataclass(frozen=True, eq=False)
class Classification:
    """Predicted categories of G ground-truth objects.

    Attributes:
        labels: (G,) index of each object's true category.
        predicted: (G,) index of the category with the highest score.
        lost: (G,) bool, True if background has a higher score than all categories.
        scores: (G,) score of the true category, in [0, 1].
    """

    labels: np.ndarray
    predicted: np.ndarray
    lost: np.ndarray
    scores: np.ndarray

    def summary(self, names: Sequence[str], groups: np.ndarray | None, pairs: int = 200) -> dict[str, Any]:
        """Summarize the predictions by frequency group, by category and by pair of confused categories.

        Args:
            names: name of each category.
            groups: frequency group of each category (0: rare, 1: common, 2: frequent). None if the groups are unknown.
            pairs: maximum number of pairs of confused categories to return. The most frequent pairs come first.

        Returns:
            a dict with three keys:

            - ``groups``: a dict from the name of a group to a dict with ``objects``, ``accuracy``, ``background`` and
              ``histogram``. The names are "all" and, if ``groups`` is not None, "rare", "common" and "frequent".
            - ``categories``: a list of dicts with ``name``, ``objects``, ``accuracy`` and ``background``, one for each
              category that has objects.
            - ``confusions``: a list of [true category, predicted category, number of objects].

            ``objects`` is the number of objects. ``accuracy`` is the percentage of objects whose true category has the
            highest score of all categories. ``background`` is the percentage of objects for which background has a
            higher score than all categories. ``histogram`` contains the number of objects in 20 bins of width 0.05 of
            the score of the true category.
        """
        right = self.predicted == self.labels
        masks = {"all": np.ones(len(self.labels), dtype=bool)}
        if groups is not None:
            masks |= {name: groups[self.labels] == index for index, name in enumerate(GROUP_NAMES)}
        edges = np.linspace(0, 1, _BINS + 1)
        found = {
            name: {**self._percentages(mask), "histogram": np.histogram(self.scores[mask], edges)[0].tolist()}
            for name, mask in masks.items()
        }
        present = np.unique(self.labels).tolist()
        categories = [{"name": names[label], **self._percentages(self.labels == label)} for label in present]
        codes, counts = np.unique(self.labels[~right] * len(names) + self.predicted[~right], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:pairs]
        confusions = [
            [names[code // len(names)], names[code % len(names)], count]
            for code, count in zip(codes[order].tolist(), counts[order].tolist(), strict=True)
        ]
        return {"groups": found, "categories": categories, "confusions": confusions}

    def _percentages(self, mask: np.ndarray) -> dict[str, Any]:
        right = self.predicted == self.labels
        return {
            "objects": int(mask.sum()),
            "accuracy": _percent(right[mask]),
            "background": _percent(self.lost[mask]),
        }


def _percent(values: np.ndarray) -> float:
    return 100 * float(values.mean()) if len(values) else float("nan")


@torch.no_grad()
def classify_ground_truth(model: nn.Module, loader, records: Sequence[dict[str, Any]]) -> Classification | None:
    """Predict the category of each ground-truth object, except crowds, with the ground-truth boxes as proposals.

    The model must be a GeneralizedRCNN with Detectron2's StandardROIHeads, CascadeROIHeads or Res5ROIHeads, or with a
    subclass of these ROI heads. In a cascade, all stages classify the same ground-truth boxes, and their probabilities
    or logits are averaged (MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE).

    Args:
        model: the detector. The function sets the model to evaluation mode, and restores the mode at the end.
        loader: test loader of the dataset. In distributed evaluation, each process loads a part of the images.
        records: dataset dicts of the same dataset, with "annotations".

    Returns:
        in the main process, the predictions for the objects of all processes. None in the other processes.

    Raises:
        DataError: a probability is not finite.
    """
    objects = {record["image_id"]: record.get("annotations", ()) for record in records}
    found = []
    with ExitStack() as stack:
        stack.enter_context(inference_context(model))
        for inputs in loader:
            proposals = [_ground_truth(item, objects[item["image_id"]], model.device) for item in inputs]
            if any(len(proposal) for proposal in proposals):
                found.append(_classify(model, inputs, proposals))
    mine = [np.concatenate(column) for column in zip(*found, strict=True)] if found else None
    comm.synchronize()
    parts = [part for part in comm.gather(mine, dst=0) if part is not None]
    if not comm.is_main_process():
        return None
    if not parts:
        return Classification(*(np.zeros(0, dtype=t) for t in (np.int64, np.int64, bool, np.float64)))
    return Classification(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _ground_truth(item: dict[str, Any], annotations, device) -> Instances:
    """Convert the annotations of an image, except crowds, to proposals in pixels of the resized image.

    Args:
        item: dict of the test loader with the resized "image", and "width" and "height" before resizing.
        annotations: annotations of the image, in pixels before resizing.
        device: device of the proposals.
    """
    height, width = item["image"].shape[-2:]
    kept = [entry for entry in annotations if not entry.get("iscrowd", 0)]
    boxes = [BoxMode.convert(entry["bbox"], entry["bbox_mode"], BoxMode.XYXY_ABS) for entry in kept]
    scale = torch.tensor([width / item["width"], height / item["height"]] * 2)
    result = Instances((height, width))
    result.proposal_boxes = Boxes((torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) * scale).to(device))
    result.gt_classes = torch.tensor([entry["category_id"] for entry in kept], dtype=torch.int64, device=device)
    return result


def _classify(model, inputs, proposals) -> tuple[np.ndarray, ...]:
    features = model.backbone(model.preprocess_image(inputs).tensor)
    probs = _probabilities(model.roi_heads, features, proposals).float().cpu()
    labels = cat([proposal.gt_classes for proposal in proposals]).cpu()
    if not probs.isfinite().all():
        raise DataError(
            "TEST.CLASSIFICATION_ACCURACY: expected finite probabilities from the model, found NaN or infinite "
            f"probabilities in the images with ids {first_few([item['image_id'] for item in inputs])}. Check "
            "MODEL.WEIGHTS, because the training may have diverged"
        )
    best, predicted = probs[:, :-1].max(dim=1)
    scores = probs[torch.arange(len(labels)), labels]
    return labels.numpy(), predicted.numpy(), (probs[:, -1] > best).numpy(), scores.double().numpy()


def _probabilities(heads: nn.Module, features: dict[str, torch.Tensor], proposals: list[Instances]) -> torch.Tensor:
    """Return the classification probabilities of all proposals, (number of proposals, number of categories + 1).

    The last column is background.

    Args:
        heads: the ROI heads of the model.
        features: feature maps of the backbone.
        proposals: proposals in each image.
    """
    check_heads(heads)
    boxes = [proposal.proposal_boxes for proposal in proposals]
    if hasattr(heads, "_shared_roi_transform"):  # only Detectron2's Res5ROIHeads have this method
        shared = heads._shared_roi_transform([features[name] for name in heads.in_features], boxes)
        return torch.cat(heads.box_predictor.predict_probs(heads.box_predictor(shared.mean(dim=[2, 3])), proposals))
    pooled = heads.box_pooler([features[name] for name in heads.box_in_features], boxes)
    if hasattr(heads, "average_probs"):  # only the cascade heads of this project have this method
        stages = zip(heads.box_head, heads.box_predictor, strict=True)
        return torch.cat(heads.average_probs([predictor(head(pooled)) for head, predictor in stages], proposals))
    cascade = isinstance(heads.box_predictor, nn.ModuleList)
    stages = (
        zip(heads.box_head, heads.box_predictor, strict=True) if cascade else [(heads.box_head, heads.box_predictor)]
    )
    found = [torch.cat(predictor.predict_probs(predictor(head(pooled)), proposals)) for head, predictor in stages]
    return torch.stack(found).mean(dim=0)


def write_box_classification(
    found: Classification, names: Sequence[str], groups: np.ndarray | None, folder: str
) -> None:
    """Write ``classification.json``, and log the accuracy of each frequency group.

    ``Classification.summary`` describes the content of the file: accuracies by frequency group and by category, and
    confused categories.

    Args:
        found: predictions that ``classify_ground_truth`` returned.
        names: name of each category.
        groups: frequency group of each category (0: rare, 1: common, 2: frequent). None if the groups are unknown.
        folder: folder of the file.
    """
    summary = found.summary(names, groups)
    path = os.path.join(folder, CLASSIFICATION_FILE)
    write_json(path, summary)
    lines = [
        f"{group}: {values['accuracy']:.1f} % of {values['objects']} objects, {values['background']:.1f} % background"
        for group, values in summary["groups"].items()
    ]
    logger.info("Accuracy on ground-truth boxes (%s): %s", path, "; ".join(lines))


def check_heads(heads: nn.Module | type) -> None:
    """Raise ConfigError if ``classify_ground_truth`` does not support the type of a model's ROI heads.

    Args:
        heads: the ROI heads, or their class.
    """
    from detectron2.modeling.roi_heads import CascadeROIHeads, Res5ROIHeads, StandardROIHeads

    known = (StandardROIHeads, CascadeROIHeads, Res5ROIHeads)
    if not (issubclass(heads, known) if isinstance(heads, type) else isinstance(heads, known)):
        name = heads.__name__ if isinstance(heads, type) else type(heads).__name__
        raise ConfigError(
            f"TEST.CLASSIFICATION_ACCURACY: expected ROI heads of type {', '.join(k.__name__ for k in known)} or a "
            f"subclass, found {name!r} in MODEL.ROI_HEADS.NAME. Set TEST.CLASSIFICATION_ACCURACY to False, or use one "
            "of these ROI heads"
        )
