"""Log classification accuracies of the proposals in training.

The accuracy is computed from scores instead of logits, so that models with different losses are comparable.

Shapes: N proposals, C foreground categories. Label C is background.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seesaw_d2.frequency_groups import GROUP_NAMES
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.utils.deferred_scalars import put_scalars

logger = logging.getLogger(__name__)


@torch.no_grad()
def classification_metrics(probs: Tensor, labels: Tensor, groups: Tensor | None = None) -> dict:
    """Return the classification accuracies of a batch, in [0, 1], or NaN for a mean over 0 proposals.

    Args:
        probs: (N, C + 1), scores of N proposals for C categories and background last.
        labels: (N,) int64 in [0, C], where C is background.
        groups: (C,) int64, group of each category (0 rare, 1 common, 2 frequent), or None if unknown.

    Returns:
        dict of scalar tensors:

        - ``cls_accuracy``: share of correct predictions, as in Detectron2.
        - ``fg_cls_accuracy``: share of correct predictions among foreground proposals, as in Detectron2.
        - ``false_negative``: share of foreground proposals that are predicted as background, as in Detectron2.
        - ``objectness_accuracy``: share of proposals that are correctly predicted as foreground or background. A
          proposal is predicted as background if P(background) > 1/2.
        - ``class_accuracy``: share of foreground proposals whose category has the highest score of all C categories.
          The score of background is ignored. MMDetection logs this accuracy as ``acc_classes``.
        - ``class_accuracy_rare``, ``_common``, ``_frequent``: ``class_accuracy`` of each group, if ``groups`` is given.
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
    """Return the frequency group of each category from ``find_groups()`` as an int64 tensor on ``device``.

    The groups are 0 for rare, 1 for common and 2 for frequent categories. Return None if ``find_groups`` is None or
    returns None. If ``find_groups`` does not return ``num_classes`` groups, log a warning and return None.
    """
    groups = None if find_groups is None else find_groups()
    if groups is None:
        return None
    groups = torch.as_tensor(groups, dtype=torch.int64, device=device)
    if tuple(groups.shape) == (num_classes,):
        return groups
    logger.warning(
        "Accuracies of rare, common and frequent categories are not logged, because the training data has %d "
        "categories but the model has %d categories.",
        *(groups.numel(), num_classes),
    )
    return None


class GroupsWhenNeeded:
    """Mixin for modules with a ``cls_loss``, which finds the frequency group of each category on first use.

    Finding the groups can be slow, because it can read all annotations. Therefore it is delayed until first use.

    Attributes:
        groups: int64 (C,) for C categories (0 rare, 1 common, 2 frequent), or None if not computed or unknown. This is
            not a buffer, because the number of a model's buffers must not change: averages of weights, such as
            PyTorch's ``AveragedModel``, copy the buffers of two models in pairs.
        cls_loss: the loss, whose ``num_classes`` is C.
        _find_groups: function that returns the groups, or None if it is unknown or has been called.
    """

    groups: Tensor | None
    cls_loss: ClassificationLoss
    _find_groups: Callable[[], Any] | None

    def frequency_groups(self, device: torch.device) -> Tensor | None:
        """Return the frequency group of each category, int64 (C,), or None if unknown.

        The groups are 0 for rare, 1 for common and 2 for frequent categories. They are cached in ``groups``.
        """
        if self._find_groups is not None:
            self.groups = group_tensor(self._find_groups, self.cls_loss.num_classes, device)
            self._find_groups = None
        if self.groups is not None:
            self.groups = self.groups.to(device)
        return self.groups


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum()


def log_classification_metrics(probs: Tensor, labels: Tensor, groups: Tensor | None, prefix="fast_rcnn"):
    """Log the accuracies of a batch to Detectron2's event storage, for example as "fast_rcnn/cls_accuracy".

    Accuracies that are NaN are not logged. :func:`classification_metrics` defines the accuracies and the arguments
    ``probs``, ``labels`` and ``groups``. ``prefix`` is the part of the logged names before "/".
    """
    if not len(labels):
        return
    metrics = classification_metrics(probs, labels, groups)
    put_scalars([f"{prefix}/{name}" for name in metrics], torch.stack(list(metrics.values())))
