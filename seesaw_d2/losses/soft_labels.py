"""Compute the loss of an image classifier for soft labels, such as those of mixup, CutMix or label smoothing.

Shapes: N images, C classes.
"""

import torch
from torch import Tensor

from seesaw_d2.losses.argument_checks import check_inputs
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument
from seesaw_d2.losses.precision import widen, without_autocast


def soft_label_loss(
    loss: ClassificationLoss,
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    avg_factor: float | Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the losses of a batch with soft labels. In training mode, also update the statistics of the loss.

    The loss of an image with the logits z and the soft labels t is -Σ_j t_j log softmax_j(z + log S_i), where i is the
    class with the largest t_i, and S_i contains the factors S_ij of ``SeesawLoss`` for all classes j. Seesaw Loss
    counts the image for class i. With ``CrossEntropyLoss``, or with p = q = 0, all factors are 1, and the loss equals
    ``F.cross_entropy`` with probabilities as targets. The Seesaw Loss paper does not use soft labels.

    Args:
        loss: CrossEntropyLoss or SeesawLoss with ``background="none"``.
        logits: (N, C) floating point, for N images and C classes.
        targets: (N, C) floating point, soft labels t >= 0. Each row sums to 1.
        weights: (N,) >= 0, weight of each image. Default: all weights are 1.
        avg_factor: divisor of the weighted sum of the losses. Default: the number of images with a positive weight.

    Raises:
        ValueError: the loss does not support soft labels, or an argument has a wrong shape or value.
    """
    if loss.soft_labels != "softmax" or loss.background != "none":
        raise InvalidArgument(
            "loss",
            'CrossEntropyLoss or SeesawLoss, each with background "none"',
            loss,
            "Other losses take no soft labels.",
        )
    loss.check_width(logits)
    if targets.shape != logits.shape or not targets.is_floating_point():
        raise ValueError(
            f"targets: expected a floating-point tensor of shape {tuple(logits.shape)}, found {targets.dtype} of shape "
            f"{tuple(targets.shape)}"
        )
    _check_targets(targets)
    labels = targets.argmax(dim=1)
    check_inputs(logits, labels, weights, avg_factor, loss.num_label_values)
    with without_autocast(logits.device):
        logits = widen(logits)
        weights = None if weights is None else weights.to(logits.dtype)
        divisor = loss._divisor(labels, weights, avg_factor, logits.dtype)
        loss._update(logits, labels, before_loss=True)
        losses = loss.checked_compute(logits, labels, weights, divisor, targets.to(logits.dtype))
        loss._update(logits, labels, before_loss=False)
    return losses


def _check_targets(targets: Tensor) -> None:
    """Raise ValueError if a soft label is negative, or a row does not sum to 1.

    As in ``check_inputs``, values are checked only on the CPU and outside of compiled models.
    """
    if targets.device.type != "cpu" or torch.compiler.is_compiling():
        return
    sums = targets.sum(dim=1, dtype=torch.promote_types(targets.dtype, torch.float32))
    tolerance = max(1e-3, torch.finfo(targets.dtype).eps)  # rounding in bfloat16 changes a sum by up to 0.4 %
    if bool((targets >= 0).all() & ((sums - 1).abs() < tolerance).all()):
        return
    low, high = (value.item() for value in sums.aminmax())
    raise ValueError(
        f"targets: expected values >= 0 and rows that sum to 1, found the smallest value {targets.min():g} and row "
        f"sums from {low:g} to {high:g}"
    )
