"""Define Equilibrium Loss (LOCE), a cross-entropy with margins that depend on the mean score of each category.

Source: Exploring Classification Equilibrium in Long-Tailed Object Detection (Feng et al., ICCV 2021, arXiv 2108.07507).

Shapes: N proposals, C foreground categories. Label C is background.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.argument_checks import check_objects
from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss
from seesaw_d2.losses.row_sums import sum_rows
from seesaw_d2.utils.distributed import all_reduce_sum

_INITIAL_SCORE = 0.01  # mean score of each category at the start of training, as in the authors' code
# The loss uses the logarithms of the mean scores. It clamps them to at least this value, because the logarithm of a
# mean score that underflows to 0 would be infinite.
_MIN_SCORE = 1e-12


@LOSS_REGISTRY.register()
class EquilibriumLoss(CrossEntropyLoss):
    """Cross-entropy with margins between categories that depend on the mean score of each category.

    L = -log(m_i e^{z_i} / Σ_j m_j e^{z_j}), where i is the label, z_j is the logit of category j, and m_j is a moving
    average of the scores of category j. The mean score of background is the constant ``background_score``. At
    inference, scores are the softmax of z.

    Each batch updates m before its loss is computed. The score of an object is the probability of the object's
    category, averaged over the proposals that match the object. If the batch contains k objects of category j and their
    mean score is s, m_j becomes α^k m_j + (1 - α^k) s.

    Reference: github fcjian/LOCE, mmdet/models/losses/equilibrium_loss.py and roi_heads/loce_roi_head.py. Differences
    from the reference:

    - Memory-augmented feature sampling (MFS), which is part of the paper's method, is not implemented.
    - m is float64, and checkpoints contain it. The reference resets m to 0.01 when a training is resumed.
    - In the loss, m is clamped from below to 1e-12, so that the loss is finite.
    - Background "objectness" is supported. In this case, z are the logits of the C categories.
    - Without the argument ``objects`` of ``forward``, each foreground proposal counts as a separate object. Box
      predictors pass this argument.

    Args:
        num_classes: number of categories C, >= 1.
        alpha: α in [0, 1), momentum of m for one object.
        background_score: > 0, mean score of background. Only background "class" uses this argument.
        background: "class" (default), "objectness" or "none".
        sync: whether to average over the objects of all processes. If False, each process averages only over its own
            objects. In this case, pass ``broadcast_buffers=False`` to DDP, which otherwise copies the mean scores of
            the first process.

    Buffers:
        mean_scores: float64, m of each category and, with background "class", of background last. The initial value of
            each category is 0.01.
    """

    soft_labels: ClassVar[str | None] = None
    takes_maps: ClassVar[bool] = False
    takes_objects: ClassVar[bool] = True
    config_keys: ClassVar[dict[str, str]] = {"alpha": "LOCE.ALPHA", "background_score": "LOCE.BACKGROUND_SCORE"}
    mean_scores: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.9,
        background_score: float = 0.01,
        background: str = "class",
        sync: bool = True,
    ):
        super().__init__(num_classes, background=background)
        self.alpha = check_number("alpha", alpha, "a number in [0, 1)", lambda value: 0 <= value < 1)
        self.background_score = check_number("background_score", background_score, "a number > 0", lambda v: v > 0)
        self.sync = sync
        scores = torch.full((num_classes + (background == "class"),), _INITIAL_SCORE, dtype=torch.float64)
        scores[num_classes:] = self.background_score
        self.register_buffer("mean_scores", scores)
        self._objects: Tensor | None = None

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"alpha": (0.9, 0.99)}

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        ignore_index: int | None = None,
        objects: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of a batch. In training mode, also update the mean scores.

        Args:
            logits, labels, weights, avg_factor, ignore_index: as in ``ClassificationLoss.forward``.
            objects: (N,) int64 in [0, N), index of the object that each proposal matches. Proposals that match the same
                object have the same index. Values for background proposals are ignored. If None, each foreground
                proposal counts as a separate object.
        """
        if objects is not None:
            check_objects(objects, labels)
        self._objects = objects
        losses = super().forward(logits, labels, weights, avg_factor, ignore_index)
        self._objects = None
        return losses

    def update_statistics(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> None:
        """Update the moving averages of the scores, ``mean_scores``, of the categories that occur in the batch."""
        # ``gather`` needs valid indices, so background proposals get the index of the last category. The index has no
        # effect, because background proposals have weight 0 (see ``_shares``).
        categories = labels.clamp(max=self.num_classes - 1)
        probs = logits[:, : len(self.mean_scores)].softmax(dim=1)
        scores = probs.gather(1, categories.unsqueeze(1)).squeeze(1).double()
        shares = self._shares(labels)
        sums = sum_rows(torch.stack([shares, shares * scores], dim=1), categories, self.num_classes)
        counts, totals = (all_reduce_sum(sums) if self.sync else sums).unbind(dim=1)
        kept = self.alpha**counts
        means = totals / counts.clamp(min=1)
        self.mean_scores[: self.num_classes].mul_(kept).add_((1 - kept) * means)

    def _shares(self, labels: Tensor) -> Tensor:
        """Return the weight of each of N proposals in the mean score of its category, float64 (N,).

        The weight is 1 / n for each of the n proposals that match the same object, and 0 for background proposals.
        """
        foreground = (labels < self.num_classes).double()
        if self._objects is None:
            return foreground
        numbers = torch.zeros_like(foreground).scatter_add(0, self._objects, foreground)
        return foreground / numbers[self._objects].clamp(min=1)

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits z_j + log m_j, where m_j is the mean score of category j. ``labels`` are ignored."""
        return logits + self.mean_scores.clamp(min=_MIN_SCORE).log().to(logits.dtype)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, alpha={self.alpha}, background_score={self.background_score}"
