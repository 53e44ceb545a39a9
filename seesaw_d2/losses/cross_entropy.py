"""Define the softmax cross-entropy loss, with three ways to model background.

Shapes: N proposals, C foreground categories. Label C is background.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seesaw_d2.losses.base import ClassificationLoss, weighted_sum
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.precision import widen


@LOSS_REGISTRY.register()
class CrossEntropyLoss(ClassificationLoss):
    """Softmax cross-entropy (Seesaw Loss paper, equation 1).

    L = -log σ_i, where i is the label and σ is the softmax of the logits.

    This class handles background, weights and averages. A subclass overrides ``adjusted_logits`` to modify the logits
    of the softmax.

    With background "class" or "none", the result is a single loss, ``loss_cls``. With background "objectness", the
    result has two losses, which are divided by the same ``avg_factor``:

    - ``loss_cls_classes``: cross-entropy over the C categories, for the foreground proposals.
    - ``loss_cls_objectness``: cross-entropy over foreground and background, for all proposals.

    Args:
        num_classes: number of categories C, >= 1.
        background: "objectness", "class" (default) or "none". See ``ClassificationLoss``.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("class", "objectness", "none")
    soft_labels: ClassVar[str | None] = "softmax"
    takes_maps: ClassVar[bool] = True
    scores: ClassVar[str] = "softmax"

    def __init__(self, num_classes: int, *, background: str = "class"):
        super().__init__(num_classes, background=background)

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits whose softmax is trained. A subclass overrides this method, for example to add margins.

        Args:
            logits: logits of R proposals for the K classes of the softmax, (R, K).
            labels: (R,) in [0, K).

        Returns:
            (R, K).
        """
        return logits

    def compute(self, logits, labels, weights, avg_factor, targets=None):
        is_background = labels == self.num_classes
        if self.background != "objectness":
            if targets is not None and self.background == "class":
                targets = torch.cat([targets, is_background.to(targets.dtype).unsqueeze(1)], dim=1)
            return {"loss_cls": weighted_sum(self.row_losses(logits, labels, targets), weights) / avg_factor}
        part = self._gathered if self._gathers_rows(logits.device) else self._masked
        class_losses, class_weights, objectness = part(logits, labels, weights, targets, is_background)
        objectness_losses = F.cross_entropy(objectness, is_background.long(), reduction="none")
        return {
            "loss_cls_classes": weighted_sum(class_losses, class_weights) / avg_factor,
            "loss_cls_objectness": weighted_sum(objectness_losses, weights) / avg_factor,
        }

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores of N proposals for C categories and background, (N, C + 1), background last.

        With background "none", the result has the shape (N, C). With background "objectness", the score of category j
        is σ_j σ_foreground, where σ are the softmax probabilities (Seesaw Loss paper, section 3.3).
        """
        self.check_width(logits)
        logits = widen(logits)
        if self.background != "objectness":
            return logits.softmax(dim=1)
        classes, objectness = logits.split([self.num_classes, 2], dim=1)
        foreground, background = objectness.softmax(dim=1).split(1, dim=1)
        return torch.cat([classes.softmax(dim=1) * foreground, background], dim=1)

    def row_losses(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """Return the cross-entropy of each of R proposals, (R,).

        Args:
            logits: (R, K), logits for the K classes of the softmax.
            labels: (R,) in [0, K).
            targets: soft labels (R, K), or None to use ``labels``.
        """
        targets = labels if targets is None else targets
        return F.cross_entropy(self.adjusted_logits(logits, labels), targets, reduction="none")

    def _gathered(self, logits, labels, weights, targets, is_background):
        """Compute the class losses with background "objectness", only for the R foreground ones of N proposals.

        Args:
            logits, labels, weights, targets: as in ``compute``.
            is_background: bool (N,), whether the label is background.

        Returns:
            tuple of the class losses (R,), their weights, (R,) or None, and the objectness logits (N, 2).
        """
        rows = (~is_background).nonzero().squeeze(1)
        classes, objectness = _SplitForeground.apply(logits, rows, self.num_classes)
        weights, targets = (None if values is None else values[rows] for values in (weights, targets))
        return self.row_losses(classes, labels[rows], targets), weights, objectness

    def _masked(self, logits, labels, weights, targets, is_background):
        """Compute the class losses with background "objectness" for all N proposals.

        Arguments and results are as in ``_gathered`` with R = N. Background proposals get the label 0, which is valid,
        and the weight 0, so that they do not contribute to the loss.
        """
        classes, objectness = logits.split([self.num_classes, 2], dim=1)
        foreground = (~is_background).to(logits.dtype)
        weights = foreground if weights is None else weights * foreground
        return self.row_losses(classes, labels.masked_fill(is_background, 0), targets), weights, objectness

    @staticmethod
    def _gathers_rows(device: torch.device) -> bool:
        # On a CPU, computing only the foreground rows saves time. On a GPU, the host would have to wait for the number
        # of foreground rows. In a compiled graph, the number of rows must not depend on the labels.
        return device.type == "cpu" and not torch.compiler.is_compiling()


class _SplitForeground(torch.autograd.Function):
    """Split logits (N, C + 2) into the class logits of R selected rows, (R, C), and all objectness logits, (N, 2).

    N is the number of proposals, and C the number of categories. Plain indexing would allocate two gradients of size
    (N, C + 2) in the backward pass and add them. With few foreground proposals, this takes longer than computing the
    loss. This function allocates only one gradient.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, rows: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(rows)
        ctx.shape, ctx.num_classes = logits.shape, num_classes
        return logits[:, :num_classes].index_select(0, rows), logits[:, num_classes:].clone()

    @staticmethod
    def backward(ctx, classes_grad: Tensor, objectness_grad: Tensor):
        (rows,) = ctx.saved_tensors
        grad = objectness_grad.new_zeros(ctx.shape)
        grad[:, : ctx.num_classes].index_copy_(0, rows, classes_grad)
        grad[:, ctx.num_classes :] = objectness_grad
        return grad, None, None
