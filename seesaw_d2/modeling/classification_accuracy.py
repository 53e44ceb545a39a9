"""How well proposals are classified, from probabilities alone, so that every loss is measured alike.

N proposals, C foreground categories; label C is background.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seesaw_d2.frequency_groups import GROUP_NAMES
from seesaw_d2.utils.deferred_scalars import put_scalars

logger = logging.getLogger(__name__)


@torch.no_grad()
def classification_metrics(probs: Tensor, labels: Tensor, groups: Tensor | None = None) -> dict:
    """Accuracies of one batch, in [0, 1]; nan where there is nothing to measure.

    Args:
        probs: (N, C + 1), background last.
        labels: (N,) int64 in [0, C].
        groups: (C,) int64, 0 rare, 1 common, 2 frequent; None: not known.

    Returns:
        name -> scalar tensor:
        ``cls_accuracy``, ``fg_cls_accuracy`` and ``false_negative`` mean what they mean in Detectron2: right among
        all; right among foreground; called background among foreground. ``objectness_accuracy``: foreground told
        from background. ``class_accuracy``: right among foreground when only categories compete (the ``acc_classes``
        of MMDetection), and the same for rare, common and frequent categories.
    """
    num_classes = probs.shape[1] - 1
    foreground = labels < num_classes
    predicted = probs.argmax(dim=1)
    right_class = (probs[:, :num_classes].argmax(dim=1) == labels).float()
    objectness = (probs[:, num_classes] <= 0.5) == foreground
    metrics = {
        "cls_accuracy": (predicted == labels).float().mean(),
        "fg_cls_accuracy": _mean_where((predicted == labels).float(), foreground),
        "false_negative": _mean_where((predicted == num_classes).float(), foreground),
        "objectness_accuracy": objectness.float().mean(),
        "class_accuracy": _mean_where(right_class, foreground),
    }
    if groups is not None:
        group = groups[labels.clamp(max=num_classes - 1)]
        for index, name in enumerate(GROUP_NAMES):
            metrics[f"class_accuracy_{name}"] = _mean_where(right_class, foreground & (group == index))
    return metrics


def group_tensor(find_groups: Callable[[], Any] | None, num_classes: int, device: torch.device) -> Tensor | None:
    """What ``find_groups`` returns as int64 (C,) on ``device``; None where the groups are not known.

    Groups of another number of categories than the model's are none: that is logged, and the accuracies of the groups
    are left out.
    """
    groups = None if find_groups is None else find_groups()
    if groups is None:
        return None
    groups = torch.as_tensor(groups, dtype=torch.int64, device=device)
    if tuple(groups.shape) == (num_classes,):
        return groups
    logger.warning(
        "Accuracies of rare, common and frequent categories are not logged: the training data has %d categories, the "
        "model %d",
        *(groups.numel(), num_classes),
    )
    return None


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum()


def log_classification_metrics(probs: Tensor, labels: Tensor, groups: Tensor | None, prefix="fast_rcnn"):
    """Put :func:`classification_metrics` into Detectron2's event storage; what is nan is left out."""
    if not len(labels):
        return
    metrics = classification_metrics(probs, labels, groups)
    put_scalars([f"{prefix}/{name}" for name in metrics], torch.stack(list(metrics.values())))
