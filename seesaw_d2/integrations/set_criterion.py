"""Use the losses of this package in DETR, MaskFormer and models with a similar criterion, without Detectron2.

These models have a set criterion: a module that matches queries with ground-truth objects, and computes a
classification loss for all queries. Most queries have no object. The classifier is either a softmax over the categories
and "no object" (DETR, MaskFormer, Mask2Former), or a sigmoid for each category (Deformable DETR, DINO, RF-DETR).

Shapes: B images, Q queries, C categories, L logits of a query (C + 1 with a softmax, C with sigmoids). Label C stands
for "no object".
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.argument_checks import object_labels
from seesaw_d2.losses.averaging import averaging
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.losses.precision import widen

Criterion = TypeVar("Criterion", bound=nn.Module)
# For each image, a pair: the indices of the matched queries, and the indices of the objects that they match.
Matches = Sequence[tuple[Tensor, Tensor]]


def query_labels(labels: Sequence[Tensor], matches: Matches, num_queries: int, num_classes: int) -> Tensor:
    """Return the label of every query. A query without an object has the label C for "no object".

    Args:
        labels: for each of B images, the categories of its objects, int64 in [0, C).
        matches: for each image, the indices of the matched queries, and the indices of their objects in ``labels``.
        num_queries: number of queries Q of an image.
        num_classes: number of categories C.

    Returns:
        the labels (B, Q), int64.

    Raises:
        ValueError: the label of an object is not in [0, C).
    """
    shape, device = (len(labels), num_queries), labels[0].device
    found = torch.full(shape, num_classes, dtype=torch.int64, device=device)
    for row, own, (queries, objects) in zip(found, labels, matches, strict=True):
        row[queries.to(device)] = object_labels(own, num_classes)[objects.to(device)]
    return found


def query_loss(
    loss: ClassificationLoss,
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: Tensor | None = None,
    num_objects: float | Tensor | None = None,
) -> Tensor:
    """Return the classification loss of all queries of B images, a scalar tensor.

    In training mode, also update the statistics of the loss, such as the class counts of ``SeesawLoss``.

    Args:
        loss: a loss for C categories, with ``background="class"`` for a softmax over the categories and "no object", or
            ``background="implicit"`` for sigmoids.
        logits: (B, Q, L) for Q queries per image. L is C + 1 with a softmax, and C with sigmoids.
        labels: (B, Q) int64, label of each query in [0, C], where C stands for "no object".
        class_weights: (C + 1,) weights of the C categories, followed by the weight of "no object". The loss is divided
            by the sum of the weights of all queries, as in ``F.cross_entropy``.
        num_objects: divisor of the loss if ``class_weights`` is None. If this argument is also None, use the default
            divisor of ``loss``, usually the number of queries.
    """
    flat = labels.flatten()
    weights = None if class_weights is None else widen(class_weights)[flat]
    factors = (None, num_objects) if weights is None else averaging(weights)
    return torch.stack(list(loss(logits.flatten(0, 1), flat, *factors).values())).sum()


def check_fits(loss: ClassificationLoss, num_classes: int, *, softmax: bool) -> None:
    """Raise ValueError if a model cannot be trained with a loss, because the model would compute other scores.

    The loss must have the number of logits of the model. It must also define scores as the softmax or the sigmoids of
    the logits, because the model computes its scores in this way.

    Args:
        loss: the loss to check.
        num_classes: number of categories of the model.
        softmax: True for a model with a softmax over the categories and "no object". False for a model with sigmoids.
    """
    background = "class" if softmax else "implicit"
    kind = 'a softmax over the categories and "no object"' if softmax else "sigmoids"
    expected = (background, num_classes, num_classes + softmax)
    found = (loss.background, loss.num_classes, loss.num_logits)
    if found != expected:
        text = 'background="{}", num_classes={} and {} logits'
        raise ConfigError(
            f"loss: expected {text.format(*expected)}, found {text.format(*found)}. The model computes scores with "
            f"{kind}."
        )
    device = next((each.device for each in loss.state_dict(keep_vars=True).values()), None)
    logits = torch.linspace(-2, 2, 2 * loss.num_logits, dtype=torch.float64, device=device).view(2, -1)
    scores = logits.softmax(dim=1) if softmax else logits.sigmoid()
    if not torch.allclose(loss.probabilities(logits)[:, :num_classes], scores[:, :num_classes]):
        raise ConfigError(
            f"loss: the model computes scores with {kind}, but {type(loss).__name__} computes different scores from "
            "the same logits. Choose a loss with the scores of the model."
        )


def placed_like(loss: ClassificationLoss, module: nn.Module) -> ClassificationLoss:
    """Move a loss to the device of a module, and set its mode (training or evaluation) to that of the module."""
    device = next((each.device for each in (*module.parameters(), *module.buffers())), None)
    return (loss if device is None else loss.to(device)).train(module.training)


class LabelLoss:
    """Mixin that replaces the classification loss of a set criterion (the loss module of DETR-like models).

    The mixin must be the first base class. The names of the losses and the other outputs of the criterion, such as
    "class_error", do not change.

    Attributes:
        cls_loss: loss of this package that replaces the classification loss.
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
        if weights is None and not args:
            raise ConfigError(
                "loss_labels: expected the number of objects as the fourth positional argument, found no such "
                f"argument (keyword arguments: {', '.join(kwargs) or 'none'}). For such a criterion, call query_loss."
            )
        divisor = {"num_objects": args[0]} if weights is None else {"class_weights": weights}
        return {**losses, name: query_loss(self.cls_loss, logits, labels, **divisor)}

    def __reduce__(self):
        return _empty, (type(self).__bases__[1],), self.__dict__


def _empty(criterion: Any) -> nn.Module:
    own = with_label_loss(criterion)
    return own.__new__(own)


@functools.cache
def with_label_loss(criterion: Any) -> Any:
    """Return a subclass of a criterion class, in which ``self.cls_loss`` replaces the classification loss.

    Args:
        criterion: class of a set criterion, such as DETR's ``SetCriterion``.
    """
    return type(f"{criterion.__name__}WithLabelLoss", (LabelLoss, criterion), {"__module__": criterion.__module__})


def use_loss(criterion: Criterion, loss: ClassificationLoss) -> Criterion:
    """Replace the classification loss of a set criterion (the loss module of a DETR-like model) by another loss.

    The criterion is changed in place and returned.

    - DETR, MaskFormer and Mask2Former (the original repositories) have a softmax. The weight of "no object" does not
      change. ``CrossEntropyLoss``, and ``SeesawLoss`` with p = q = 0, give the original losses.
    - Deformable DETR, DINO and RF-DETR have sigmoids. The divisor is still the number of objects. ``FocalLoss`` with
      the same α and γ gives the original losses of Deformable DETR and DINO. The original targets of RF-DETR depend on
      the IoU of the box, whereas ``loss`` uses one-hot targets.

    Args:
        criterion: module with a method ``loss_labels(outputs, targets, indices, ...)``, which returns one loss, and an
            attribute ``num_classes`` or ``num_labels``. If the module has a buffer ``empty_weight``, the classifier is
            a softmax, otherwise sigmoids.
        loss: a loss with ``background="class"`` for a softmax, or ``background="implicit"`` for sigmoids. The loss
            becomes the submodule ``cls_loss`` of the criterion, and gets its device and mode (training or evaluation).
            If the criterion is not a submodule of the model, save the criterion in checkpoints too, because the loss
            can have statistics such as class counts.

    Raises:
        ValueError: ``criterion`` does not have this interface, or the loss does not fit the criterion.
    """
    num_classes = getattr(criterion, "num_classes", getattr(criterion, "num_labels", None))
    if not hasattr(criterion, "loss_labels") or not isinstance(num_classes, int):
        raise ConfigError(
            "criterion: expected a module with a method loss_labels and an integer num_classes or num_labels, found a "
            f"{type(criterion).__name__} without these. For a criterion with a different interface, call query_loss."
        )
    if "labels" not in getattr(criterion, "losses", ("labels",)):
        raise ConfigError(
            f'criterion.losses: expected a list with "labels", found {criterion.losses!r}. If your criterion has no '
            'loss "labels", for example because its targets depend on the IoU, call query_loss.'
        )
    check_fits(loss, num_classes, softmax=hasattr(criterion, "empty_weight"))
    if not isinstance(criterion, LabelLoss):
        own: Any = type(criterion)
        criterion.__class__ = with_label_loss(own)
    criterion.cls_loss = placed_like(loss, criterion)
    return criterion


def _first(values: Any, *names: str) -> Any:
    return next(values[name] for name in names if name in values)
