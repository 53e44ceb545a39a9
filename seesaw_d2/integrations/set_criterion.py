"""Use classification losses in DETR, MaskFormer and models with their criterion. Detectron2 is not needed.

A set criterion matches ground truth to queries and classifies all queries. Most queries have no object. It has one of
two classifiers: a softmax over the categories and "no object" (DETR, MaskFormer, Mask2Former), or a sigmoid for each
category (Deformable DETR, DINO, RF-DETR).

Shapes: B images, Q queries, C categories, L logits: C + 1 with a softmax, C with sigmoids. Label C is "no object".
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument

Criterion = TypeVar("Criterion", bound=nn.Module)
Matches = Sequence[tuple[Tensor, Tensor]]  # for each image the matched queries and their objects


def query_labels(labels: Sequence[Tensor], matches: Matches, num_queries: int, num_classes: int) -> Tensor:
    """Return the labels of queries, int64 (B, Q): C for those without an object.

    Args:
        labels: for each image its objects' categories, int64 in [0, C).
        matches: for each image the indices of matched queries and of their objects.
        num_queries, num_classes: Q and C.
    """
    shape, device = (len(labels), num_queries), labels[0].device
    found = torch.full(shape, num_classes, dtype=torch.int64, device=device)
    for row, own, (queries, objects) in zip(found, labels, matches, strict=True):
        row[queries.to(device)] = own[objects.to(device)]
    return found


def query_loss(
    loss: ClassificationLoss,
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: Tensor | None = None,
    num_objects: float | Tensor | None = None,
) -> Tensor:
    """Return the classification loss of queries, a scalar. In training mode, also update the statistics of the loss.

    Args:
        loss: with background "class" for a softmax, "implicit" for sigmoids.
        logits: (B, Q, L).
        labels: of ``query_labels``, (B, Q).
        class_weights: (C + 1,), the last one of "no object". The divisor is the sum of the weights of all queries, as
            in ``F.cross_entropy``.
        num_objects: the divisor without ``class_weights``. Default: that of the loss.
    """
    flat = labels.flatten()
    weights = None if class_weights is None else class_weights[flat]
    divisor = num_objects if weights is None else weights.sum()
    return torch.stack(list(loss(logits.flatten(0, 1), flat, weights, divisor).values())).sum()


def check_fits(loss: ClassificationLoss, num_classes: int, *, softmax: bool) -> None:
    """Raise ValueError unless the logits of ``loss`` are those of a criterion with C = ``num_classes``.

    The model computes the scores itself, with a softmax or sigmoids: a loss with other scores does not fit.
    """
    background = "class" if softmax else "implicit"
    kind = "softmax with a class for no object" if softmax else "sigmoids"
    expected = f'background="{background}" and num_classes={num_classes}, because the model classifies by {kind}'
    if loss.background != background or loss.num_classes != num_classes or loss.num_logits != num_classes + softmax:
        raise InvalidArgument("loss", expected, loss)
    device = next((each.device for each in loss.state_dict(keep_vars=True).values()), None)
    logits = torch.linspace(-2, 2, 2 * loss.num_logits, dtype=torch.float64, device=device).view(2, -1)
    scores = logits.softmax(dim=1) if softmax else logits.sigmoid()
    if not torch.allclose(loss.probabilities(logits)[:, :num_classes], scores[:, :num_classes]):
        raise InvalidArgument("loss", f"a loss whose scores are the {kind} of its logits, as in the model", loss)


class LabelLoss:
    """Mixin for a set criterion whose ``loss_labels`` computes the loss of the module ``cls_loss``. It must come first.

    Other outputs of the criterion, such as "class_error", and the names of the losses do not change.
    """

    cls_loss: ClassificationLoss

    def loss_labels(self, outputs: Any, targets: Any, indices: Matches, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        with torch.no_grad():
            losses = super().loss_labels(outputs, targets, indices, *args, **kwargs)  # type: ignore[misc]
        (name,) = (each for each in losses if each.startswith("loss_"))
        logits = outputs if isinstance(outputs, Tensor) else _first(outputs, "pred_logits", "logits")
        objects = [each if isinstance(each, Tensor) else _first(each, "labels", "class_labels") for each in targets]
        labels = query_labels(objects, indices, logits.shape[1], self.cls_loss.num_classes)
        weights = getattr(self, "empty_weight", None)
        divisor = {"num_objects": args[0]} if weights is None else {"class_weights": weights}
        return {**losses, name: query_loss(self.cls_loss, logits, labels, **divisor)}

    def __reduce__(self):
        return _empty, (type(self).__bases__[1],), self.__dict__


def _empty(criterion: Any) -> nn.Module:
    own = with_label_loss(criterion)
    return own.__new__(own)


@functools.cache
def with_label_loss(criterion: Any) -> Any:
    """Return a subclass of a criterion's class with the mixin ``LabelLoss``."""
    return type(f"{criterion.__name__}WithLabelLoss", (LabelLoss, criterion), {"__module__": criterion.__module__})


def use_loss(criterion: Criterion, loss: ClassificationLoss) -> Criterion:
    """Install a classification loss in a set criterion, in place, and return the criterion.

    - DETR, MaskFormer and Mask2Former (the original repositories) have a softmax. Their weight of "no object" stays.
      With ``CrossEntropyLoss``, or p = q = 0, their losses stay the same.
    - Deformable DETR, DINO and RF-DETR have sigmoids. The divisor stays the number of objects. With ``FocalLoss`` of
      the same α and γ their losses stay the same. RF-DETR's target contains the IoU of the box; with ``loss`` it does
      not.

    Args:
        criterion: has ``loss_labels(outputs, targets, indices, ...)``, which returns one loss, and ``num_classes`` or
            ``num_labels``. A buffer ``empty_weight`` means that its classifier is a softmax.
        loss: with background "class" for a softmax, "implicit" for sigmoids. It becomes the module ``cls_loss`` of the
            criterion: where the criterion is no part of the model, save it too, because the loss may have counts.

    Raises:
        ValueError: the module is not such a criterion, or the loss does not match it.
    """
    num_classes = getattr(criterion, "num_classes", getattr(criterion, "num_labels", None))
    if not hasattr(criterion, "loss_labels") or not isinstance(num_classes, int):
        expected = "a set criterion with loss_labels and num_classes; for other models call query_loss in your own"
        raise InvalidArgument("criterion", expected, type(criterion).__name__)
    if "labels" not in getattr(criterion, "losses", ("labels",)):
        expected = 'a criterion that computes "labels"; for focal targets with IoU call query_loss in your own'
        raise InvalidArgument("criterion.losses", expected, criterion.losses)
    check_fits(loss, num_classes, softmax=hasattr(criterion, "empty_weight"))
    if not isinstance(criterion, LabelLoss):
        own: Any = type(criterion)
        criterion.__class__ = with_label_loss(own)
    criterion.cls_loss = loss
    return criterion


def _first(values: Any, *names: str) -> Any:
    return next(values[name] for name in names if name in values)
