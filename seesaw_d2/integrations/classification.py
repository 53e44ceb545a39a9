"""Use the losses of this package for image classification in loops that call ``criterion(logits, targets)``.

PyTorch's examples and timm have such training loops. Shapes: N images, C classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seesaw_d2.losses.argument_checks import check_inputs
from seesaw_d2.losses.averaging import averaging
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument, check_number
from seesaw_d2.losses.precision import widen
from seesaw_d2.losses.soft_labels import soft_label_loss


class Criterion(nn.Module):
    """Wrapper that gives a loss of this package the interface of ``nn.CrossEntropyLoss``, for image classification.

    If the loss is ``CrossEntropyLoss`` of this package, or ``SeesawLoss`` with p = q = 0, the result equals that of
    ``nn.CrossEntropyLoss`` with the same arguments.

    Args:
        loss: a loss for C classes without a background class (``background="none"``).
        weight: (C,) class weights, >= 0. As in PyTorch, the loss is divided by the sum of the weights of all images.
            With ``weight``, targets must be class indices.
        label_smoothing: share of the uniform distribution in each target, in [0, 1). If it is not 0, ``loss`` must
            support soft labels, as ``CrossEntropyLoss`` and ``SeesawLoss`` do.

    Raises:
        ValueError: the loss has a background class, ``weight`` has a wrong shape, or ``weight`` is combined with
            ``label_smoothing``.
    """

    weight: Tensor | None

    def __init__(self, loss: ClassificationLoss, weight: Tensor | None = None, label_smoothing: float = 0.0):
        super().__init__()
        if loss.background != "none":
            raise InvalidArgument(
                "loss.background", "'none'", loss.background, "Each image has a class, so there is no background."
            )
        self.label_smoothing = check_number(
            "label_smoothing", label_smoothing, "a number in [0, 1)", lambda value: 0 <= value < 1
        )
        if weight is not None and tuple(weight.shape) != (loss.num_classes,):
            raise InvalidArgument("weight.shape", f"({loss.num_classes},)", tuple(weight.shape))
        if weight is not None and label_smoothing:
            raise InvalidArgument(
                "label_smoothing", "0", label_smoothing, "Do not combine label_smoothing with weight."
            )
        self.loss = loss
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar tensor.

        In training mode, also update the statistics of the loss, such as the class counts of ``SeesawLoss``.

        Args:
            logits: (N, C) for N images and C classes.
            targets: class indices, int64 (N,), or class probabilities, floats (N, C), for example from mixup.

        Raises:
            ValueError: ``targets`` has a wrong shape, dtype or value. Probabilities are also refused if the module has
                a ``weight``, or if the loss does not support soft labels.
        """
        if not targets.is_floating_point():
            check_inputs(logits, targets, None, None, self.loss.num_classes)
            if self.label_smoothing:
                targets = F.one_hot(targets, self.loss.num_classes).to(torch.promote_types(logits.dtype, torch.float32))
        if not targets.is_floating_point():
            weights = None if self.weight is None else widen(self.weight)[targets]
            losses = self.loss(logits, targets, *averaging(weights))
        elif self.weight is not None:
            advice = "With weight, targets must be the class indices of N images, not class probabilities."
            raise InvalidArgument("targets.shape", "(N,)", tuple(targets.shape), advice)
        else:
            targets = targets.lerp(targets.new_tensor(1 / self.loss.num_classes), self.label_smoothing)
            losses = soft_label_loss(self.loss, logits, targets)
        return torch.stack(list(losses.values())).sum()
