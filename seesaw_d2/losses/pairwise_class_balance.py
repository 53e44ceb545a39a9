"""Define Pairwise Class Balance (PCB), which trains another loss with soft labels from the confusion matrix.

Source: Relieving Long-tailed Instance Segmentation via Pairwise Class Balance (He et al., CVPR 2022, arXiv 2201.02784).

Shapes: N proposals, C foreground categories. Label C is background.
"""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument, check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.recomputation import is_recomputing
from seesaw_d2.losses.row_sums import sum_rows
from seesaw_d2.utils.distributed import all_reduce_sum, rank

# The loss waits at least this many steps between two checks for categories without proposals. More checks would slow
# down training, because each check synchronizes host and device.
_REPORT_PERIOD = 100
_FLOAT_BYTES = 4


@LOSS_REGISTRY.register()
class PairwiseClassBalance(ClassificationLoss):
    """Train another loss with soft labels computed from the confusion between categories (PCB).

    Row i of the buffer ``confusion`` contains P(j | i), a moving average of the scores of the foreground categories j
    for proposals of category i. The soft label of a proposal of category i is

    (1 - a) onehot(i) + a q,   q_j = P(i | j) / Σ_k P(i | k).

    The paper calls q the "fightback" label. q is the normalized column i of ``confusion``, so q_j is large for
    categories j whose proposals the model often classifies as i. If i is frequent, these categories are rare. The
    weight a is ``alpha`` if a training step classifies each proposal once. In an iterative head, a grows linearly over
    the iterations of a step, for example 0, alpha / 2, alpha (see ``IterativeROIHeads``). If the wrapped loss has
    ``soft_labels`` "softmax", the rows of P and the labels q are probability distributions. With "sigmoid", P contains
    independent probabilities and q_j = P(i | j).

    Reference: the authors' fork of mmdet 2.16, mmdet/models/losses/{cross_entropy,seesaw,eqlv2}_pcb_loss.py. The
    reference copies the code of each loss. This class only computes the soft labels and calls the wrapped loss. Further
    differences from the reference:

    - All processes call one all_reduce of C x (C + 1) values in each step. The reference gathers world_size x C^2
      values and deadlocks if a process has no foreground.
    - With one classification per step, a = ``alpha``. The reference divides by zero.
    - If column i of ``confusion`` is 0, the labels of category i stay hard. The reference divides zero by zero.
    - ``weights`` and ``avg_factor`` also apply to the loss of the soft labels. With cross-entropy, the reference
      ignores the weights in this loss and divides by the number of proposals, which is equal if all weights are 1. The
      reference also subtracts the entropy of q, which has no gradient. With Seesaw Loss, the reference returns the loss
      of the soft labels separately.
    - ``unseen`` selects the labels until every category has had a foreground proposal. The reference uses hard labels
      during this time and does not log the missing categories.

    Args:
        num_classes: number of categories C, >= 1, as in the wrapped loss.
        loss: the wrapped loss, which must support soft labels: CrossEntropyLoss, SeesawLoss or EqualizationLossV2.
        alpha: in [0, 1], weight of the fightback labels. The paper uses 0.4 with cross-entropy, 0.2 with EQL v2 and
            0.05 with Seesaw Loss.
        momentum: in [0, 1), momentum of the moving average in ``confusion``.
        start_iter: integer >= 0, number of training steps with hard labels. These steps only update ``confusion``. The
            paper starts with soft labels at the first decay of the learning rate, after 16 of 24 epochs.
        unseen: labels after ``start_iter`` steps, until every category has had a foreground proposal.
            "wait": hard labels, as in the reference. The missing categories are logged.
            "ignore": soft labels, in which the missing categories have the value 0.
        max_matrix_mb: largest allowed size of the C x C float32 matrix, in 10^6 bytes.
        background: None (default), or the same value as in the wrapped loss. The two choices are equivalent.

    Raises:
        ValueError: a value is out of range, the wrapped loss does not support soft labels or has a different
            ``num_classes`` or ``background``, or the matrix is too large.

    Buffers:
        confusion: float32 (C, C), P(j | i) in row i (ground truth) and column j (prediction).
        seen_counts: int64 (C,), number of foreground proposals of each category so far, in all processes.
        steps: int64 scalar, number of training steps so far.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("objectness", "class", "none")
    config_keys: ClassVar[dict[str, str]] = {
        "loss": "PCB.LOSS",
        "alpha": "PCB.ALPHA",
        "momentum": "PCB.MOMENTUM",
        "start_iter": "PCB.START_ITER",
        "unseen": "PCB.UNSEEN",
        "max_matrix_mb": "PCB.MAX_MATRIX_MB",
    }
    schedule_keys: ClassVar[tuple[str, ...]] = ("PCB.START_EPOCH",)
    confusion: Tensor
    seen_counts: Tensor
    steps: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        loss: ClassificationLoss,
        alpha: float = 0.05,
        momentum: float = 0.99,
        start_iter: int = 0,
        unseen: str = "wait",
        max_matrix_mb: float = 256.0,
        background: str | None = None,
    ):
        super().__init__(num_classes, background=loss.background if background is None else background)
        _check_wrapped(loss, num_classes, self.background)
        self.alpha = check_number("alpha", alpha, "a number in [0, 1]", lambda value: 0 <= value <= 1)
        self.momentum = check_number("momentum", momentum, "a number in [0, 1)", lambda value: 0 <= value < 1)
        whole = "an integer >= 0"
        self.start_iter = int(check_number("start_iter", start_iter, whole, lambda v: v >= 0 and v == int(v)))
        if unseen not in ("wait", "ignore"):
            raise InvalidArgument("unseen", '"wait" or "ignore"', unseen)
        self.unseen = unseen
        _check_size(num_classes, check_number("max_matrix_mb", max_matrix_mb, "a number > 0", lambda v: v > 0))
        self.loss = loss
        self.register_buffer("confusion", torch.zeros(num_classes, num_classes))
        self.register_buffer("seen_counts", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.set_iteration(0, 1)
        self._calls, self._next_report = 0, _REPORT_PERIOD

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"start_iter": (round(2 / 3 * data.iterations),)}

    @property
    def num_logits(self) -> int:
        return self.loss.num_logits

    def initial_bias(self) -> Tensor | None:
        return self.loss.initial_bias()

    def set_iteration(self, index: int, count: int) -> None:
        self._iteration = (index, count)
        self.loss.set_iteration(index, count)

    def num_averaged(self, labels: Tensor, weights: Tensor | None) -> int | Tensor:
        return self.loss.num_averaged(labels, weights)

    def compute(self, logits, labels, weights, avg_factor):
        return self.loss.checked_compute(logits, labels, weights, avg_factor, self.soft_targets(labels, logits.dtype))

    def probabilities(self, logits: Tensor) -> Tensor:
        return self.loss.probabilities(logits)

    def update_statistics(self, logits: Tensor, labels: Tensor) -> None:
        """Update the confusion matrix, the counts of foreground proposals and the number of steps with a batch."""
        if self._iteration[0] == 0:
            self.steps += 1
            self._report()
        softmax = self.loss.soft_labels == "softmax"
        categories = logits[:, : self.num_classes]
        probs = categories.softmax(dim=1) if softmax else categories.sigmoid()
        foreground = (labels < self.num_classes).to(self.confusion.dtype).unsqueeze(1)
        rows = torch.cat([probs.to(foreground.dtype) * foreground, foreground], dim=1)
        batch = all_reduce_sum(sum_rows(rows, self._categories(labels), self.num_classes))
        sums, counts = batch.split([self.num_classes, 1], dim=1)
        present = counts > 0  # the rows of other categories do not change
        change = sums.div_(counts.clamp(min=1)).sub_(self.confusion)
        self.confusion += change.mul_(present.to(change.dtype) * (1 - self.momentum))
        if softmax:  # at first, rows do not sum to 1, because their initial values are 0
            self.confusion /= torch.where(present, self.confusion.sum(dim=1, keepdim=True), 1)
        self.seen_counts += counts.squeeze(1).long()

    @torch.no_grad()
    def soft_targets(self, labels: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the soft labels (1 - a) onehot(i) + a q of N proposals with labels i, (N, C), for C categories.

        q is column i of the confusion matrix, normalized if the wrapped loss uses a softmax. a is the weight of q. The
        rows of background proposals are 0.
        """
        categories, foreground = self._categories(labels), (labels < self.num_classes).to(dtype)
        share = self._strength(dtype) * foreground
        scale: Tensor | float = 1.0
        columns = self.confusion.index_select(1, categories).to(dtype)  # column i for a proposal of category i
        if self.loss.soft_labels == "softmax":
            total = columns.sum(dim=0)
            share = torch.where(total > 0, share, 0)
            scale = 1 / total.clamp(min=torch.finfo(dtype).tiny)
        targets = columns.mul_(share * scale).t().contiguous()
        return targets.scatter_add_(1, categories.unsqueeze(1), (foreground - share).unsqueeze(1))

    def _strength(self, dtype: torch.dtype) -> Tensor:
        """Return the current weight of the confusion matrix in the soft labels, as a scalar tensor.

        The weight is 0, which gives hard labels, in the first ``start_iter`` steps and, with ``unseen`` "wait", until
        each category has had a foreground proposal. In an iterative head, the weight then grows from 0 to ``alpha``
        within each step.
        """
        index, count = self._iteration
        share = index / (count - 1) if count > 1 else 1.0
        active = self.steps > self.start_iter
        if self.unseen == "wait":
            active = active & (self.seen_counts > 0).all()
        return active.to(dtype) * (self.alpha * share)

    def _categories(self, labels: Tensor) -> Tensor:
        """Replace the background label C by the valid index C - 1. Callers multiply the rows of background by 0."""
        return labels.clamp(max=self.num_classes - 1)

    def _update(self, logits, labels, *, before_loss):
        super()._update(logits, labels, before_loss=before_loss)
        if self.training and before_loss == self.loss.updates_first and not is_recomputing():
            with torch.no_grad():
                self.loss.update_statistics(logits.detach(), labels, self.soft_targets(labels, logits.dtype))

    def _report(self) -> None:
        """Warn at increasing intervals about categories without foreground proposals, but not in compiled models."""
        if torch.compiler.is_compiling():
            return
        self._calls += 1
        if self._calls < self._next_report or self.steps.is_meta:
            return
        missing = (self.seen_counts == 0).nonzero().squeeze(1).tolist()
        begun = int(self.steps) > self.start_iter
        self._next_report = self._calls + (self._calls if begun and missing else _REPORT_PERIOD)
        if not (begun and missing) or rank() != 0:
            return
        waits = "PCB uses hard labels until every category has had a foreground proposal (PCB.UNSEEN wait)"
        effect = waits if self.unseen == "wait" else "Soft labels do not include these categories (PCB.UNSEEN ignore)"
        listed = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        logging.getLogger(__name__).warning(
            f"PCB.START_ITER is {self.start_iter}, but in {int(self.steps)} training steps {len(missing)} of "
            f"{self.num_classes} categories have had no foreground proposal (contiguous ids: {listed}). {effect}."
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, alpha={self.alpha}, momentum={self.momentum}, start_iter={self.start_iter}"


def _check_wrapped(loss: ClassificationLoss, num_classes: int, background: str) -> None:
    if loss.soft_labels is None:
        offers = ", ".join(sorted(name for name, registered in LOSS_REGISTRY if registered.soft_labels))
        raise InvalidArgument("loss", f"a loss that takes soft labels ({offers})", type(loss).__name__)
    if loss.num_classes != num_classes:
        raise InvalidArgument("loss", f"a loss with num_classes={num_classes}", loss)
    if loss.background != background:
        raise InvalidArgument("background", f'"{loss.background}", the background of the wrapped loss', background)


def _check_size(num_classes: int, max_matrix_mb: float) -> None:
    size = num_classes**2 * _FLOAT_BYTES / 1e6
    if size > max_matrix_mb:
        advice = f"The confusion matrix of {num_classes} x {num_classes} categories needs {size:.6g} MB."
        raise InvalidArgument("max_matrix_mb", f"a number >= {size:.6g}", max_matrix_mb, advice)
