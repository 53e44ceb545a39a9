"""Soft labels for image classification: mixup, CutMix, label smoothing, distillation.

Shapes: N images, C classes.
"""

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

    The class i with the largest target is the label of an image: Seesaw Loss counts it and uses its factors S_ij. The
    loss is -Σ_j t_j log softmax_j(z + log S_i). With p = q = 0, and for ``CrossEntropyLoss``, this is
    ``F.cross_entropy`` with probabilities. The paper has no soft labels.

    Args:
        loss: with ``background="none"`` and ``soft_labels`` "softmax": CrossEntropyLoss, SeesawLoss.
        logits: (N, C) floating point.
        targets: (N, C), >= 0, each row with the sum 1.
        weights, avg_factor: as in ``ClassificationLoss.forward``.

    Raises:
        ValueError: the loss does not take soft labels, or an argument has a wrong shape or value.
    """
    if loss.soft_labels != "softmax" or loss.background != "none":
        raise InvalidArgument("loss", 'a loss of one softmax with background "none"', loss)
    loss.check_width(logits)
    if targets.shape != logits.shape or not targets.is_floating_point():
        raise ValueError(f"targets: expected floats of shape {tuple(logits.shape)}, found {tuple(targets.shape)}")
    if targets.device.type == "cpu" and not bool((targets >= 0).all() & ((targets.sum(dim=1) - 1).abs() < 1e-3).all()):
        raise ValueError("targets: expected values >= 0 with the sum 1 in each row")
    labels = targets.argmax(dim=1)
    check_inputs(logits, labels, weights, avg_factor, loss.num_label_values)
    with without_autocast(logits.device):
        logits = widen(logits)
        weights = None if weights is None else weights.to(logits.dtype)
        divisor = loss._divisor(labels, weights, avg_factor, logits.dtype)
        loss._update(logits, labels, before_loss=True)
        losses = loss.compute(logits, labels, weights, divisor, targets.to(logits.dtype))  # type: ignore[call-arg]
        loss._update(logits, labels, before_loss=False)
    return losses
