"""Use classification losses in training loops that call ``criterion(logits, targets)`` (PyTorch, timm).

Shapes: N images, C classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument, check_number
from seesaw_d2.losses.soft_labels import soft_label_loss


class Criterion(nn.Module):
    """A loss of this package with the arguments and the result of ``nn.CrossEntropyLoss``.

    With ``CrossEntropyLoss``, or p = q = 0, it equals ``nn.CrossEntropyLoss`` with the same arguments.

    Args:
        loss: with ``background="none"``.
        weight: (C,) >= 0, weights of the classes. The divisor is the sum of the images' weights, as in PyTorch. Labels
            have to be indices.
        label_smoothing: in [0, 1), share of the uniform distribution in each label. Above 0, ``loss`` has to take soft
            labels (``soft_label_loss``).

    Raises:
        ValueError: the loss has a background, or cannot be combined with the other arguments.
    """

    weight: Tensor | None

    def __init__(self, loss: ClassificationLoss, weight: Tensor | None = None, label_smoothing: float = 0.0):
        super().__init__()
        if loss.background != "none":
            raise InvalidArgument("loss", 'background="none", because each image has a class', loss)
        self.label_smoothing = check_number(
            "label_smoothing", label_smoothing, "in [0, 1)", lambda value: 0 <= value < 1
        )
        if weight is not None and tuple(weight.shape) != (loss.num_classes,):
            raise InvalidArgument("weight", f"shape ({loss.num_classes},)", tuple(weight.shape))
        if weight is not None and label_smoothing:
            raise InvalidArgument("weight", "none with label_smoothing or soft targets", tuple(weight.shape))
        self.loss = loss
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar. In training mode, also update the statistics of the loss.

        Args:
            logits: (N, C).
            targets: class indices, int64 (N,), or probabilities, floats (N, C), such as those of mixup.
        """
        if targets.dim() == 1 and self.label_smoothing:
            targets = F.one_hot(targets, self.loss.num_classes).to(torch.promote_types(logits.dtype, torch.float32))
        if targets.dim() == 1:
            weights = None if self.weight is None else self.weight[targets]
            losses = self.loss(logits, targets, weights, None if weights is None else weights.sum())
        elif self.weight is not None:
            raise InvalidArgument("weight", "none with label_smoothing or soft targets", tuple(self.weight.shape))
        else:
            targets = targets.lerp(targets.new_tensor(1 / self.loss.num_classes), self.label_smoothing)
            losses = soft_label_loss(self.loss, logits, targets)
        return torch.stack(list(losses.values())).sum()
