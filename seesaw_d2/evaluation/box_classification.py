"""How the classifier does when the boxes are right: ground-truth boxes as proposals (Seesaw Loss paper, Figure 1).

G objects, C categories.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.evaluation.evaluator import inference_context
from detectron2.layers import cat
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm
from torch import nn

from seesaw_d2.data.records.catalog import class_names, load_dataset
from seesaw_d2.data.records.statistics import training_frequency_groups
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.results_files import write_json
from seesaw_d2.frequency_groups import GROUP_NAMES

logger = logging.getLogger(__name__)

_BINS = 20


@dataclass(frozen=True, eq=False)
class Classification:
    """What the classifier says about G objects, (G,) each: the true category's index, the best category's, whether
    background scores higher than every category, and the true category's score."""

    labels: np.ndarray
    predicted: np.ndarray
    lost: np.ndarray
    scores: np.ndarray

    def summary(self, names: Sequence[str], groups: np.ndarray | None, pairs: int = 200) -> dict[str, Any]:
        """What is written and shown.

        Args:
            names: C category names.
            groups: (C,) 0 rare, 1 common, 2 frequent; None: not known.
            pairs: so many of the most frequent confusions.

        Returns:
            ``groups``: for "all" and each group the number of objects; ``accuracy``, the percentage whose best
            foreground category is the true one; ``background``, the percentage lost to background; ``histogram``,
            objects by the true category's score in 20 steps of 0.05. ``categories``: the same three numbers for each
            category that occurs. ``confusions``: [true, predicted, count] by count, for foreground alone.
        """
        right = self.predicted == self.labels
        masks = {"all": np.ones(len(self.labels), dtype=bool)}
        if groups is not None:
            masks |= {name: groups[self.labels] == index for index, name in enumerate(GROUP_NAMES)}
        edges = np.linspace(0, 1, _BINS + 1)
        found = {}
        for name, mask in masks.items():
            found[name] = {
                "objects": int(mask.sum()),
                "accuracy": _percent(right[mask]),
                "background": _percent(self.lost[mask]),
                "histogram": np.histogram(self.scores[mask], edges)[0].tolist(),
            }
        categories = []
        for label in np.unique(self.labels).tolist():
            mask = self.labels == label
            categories.append(
                {
                    "name": names[label],
                    "objects": int(mask.sum()),
                    "accuracy": _percent(right[mask]),
                    "background": _percent(self.lost[mask]),
                }
            )
        codes, counts = np.unique(self.labels[~right] * len(names) + self.predicted[~right], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:pairs]
        confusions = [
            [names[code // len(names)], names[code % len(names)], count]
            for code, count in zip(codes[order].tolist(), counts[order].tolist(), strict=True)
        ]
        return {"groups": found, "categories": categories, "confusions": confusions}


def _percent(values: np.ndarray) -> float:
    return 100 * float(values.mean()) if len(values) else float("nan")


@torch.no_grad()
def classify_ground_truth(model: nn.Module, loader, records: Sequence[dict[str, Any]]) -> Classification | None:
    """Classify every object, its ground-truth box given as the proposal.

    Works with every GeneralizedRCNN of Detectron2's StandardROIHeads, CascadeROIHeads (the stages' probabilities, or
    their logits, as MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE says, are averaged, and each stage is given the ground-truth
    box) or Res5ROIHeads, and their subclasses. Crowds are left out.

    Args:
        model: put into evaluation mode for the time.
        loader: the data set's test loader.
        records: its dataset dicts, with "annotations".

    Returns:
        In the main process what all processes found, None in the others.
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
    """The objects of an image, in the pixels of the image that the model is given."""
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
    best, predicted = probs[:, :-1].max(dim=1)
    scores = probs[torch.arange(len(labels)), labels]
    return labels.numpy(), predicted.numpy(), (probs[:, -1] > best).numpy(), scores.double().numpy()


def _probabilities(heads: nn.Module, features: dict[str, torch.Tensor], proposals: list[Instances]) -> torch.Tensor:
    """(G, C + 1) probabilities, background last."""
    check_heads(heads)
    boxes = [proposal.proposal_boxes for proposal in proposals]
    if hasattr(heads, "_shared_roi_transform"):  # Res5ROIHeads
        shared = heads._shared_roi_transform([features[name] for name in heads.in_features], boxes)
        return torch.cat(heads.box_predictor.predict_probs(heads.box_predictor(shared.mean(dim=[2, 3])), proposals))
    pooled = heads.box_pooler([features[name] for name in heads.box_in_features], boxes)
    if hasattr(heads, "average_probs"):  # this project's cascade
        stages = zip(heads.box_head, heads.box_predictor, strict=True)
        return torch.cat(heads.average_probs([predictor(head(pooled)) for head, predictor in stages], proposals))
    cascade = isinstance(heads.box_predictor, nn.ModuleList)
    stages = (
        zip(heads.box_head, heads.box_predictor, strict=True) if cascade else [(heads.box_head, heads.box_predictor)]
    )
    found = [torch.cat(predictor.predict_probs(predictor(head(pooled)), proposals)) for head, predictor in stages]
    return torch.stack(found).mean(dim=0)


def evaluate_box_classification(cfg: CfgNode, model: nn.Module, loader, dataset_name: str) -> None:
    """Write ``OUTPUT_DIR/inference/<data set>/classification.json`` (``Classification.summary``) and log the groups."""
    found = classify_ground_truth(model, loader, load_dataset(dataset_name))
    if found is None:
        return
    summary = found.summary(class_names(dataset_name), training_frequency_groups(cfg))
    write_json(os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name, "classification.json"), summary)
    lines = [
        f"{group}: {values['accuracy']:.1f} % of {values['objects']} objects, {values['background']:.1f} % background"
        for group, values in summary["groups"].items()
    ]
    logger.info("Ground-truth boxes of %s classified right: %s", dataset_name, "; ".join(lines))


def check_heads(heads: nn.Module | type) -> None:
    """Raise ConfigError for ROI heads (or their class) that are none of Detectron2's or of their subclasses."""
    from detectron2.modeling.roi_heads import CascadeROIHeads, Res5ROIHeads, StandardROIHeads

    known = (StandardROIHeads, CascadeROIHeads, Res5ROIHeads)
    if not (issubclass(heads, known) if isinstance(heads, type) else isinstance(heads, known)):
        name = heads.__name__ if isinstance(heads, type) else type(heads).__name__
        raise ConfigError(
            f"TEST.CLASSIFICATION_ACCURACY: expected ROI heads derived from {', '.join(k.__name__ for k in known)}, "
            f"found MODEL.ROI_HEADS.NAME {name!r}"
        )
