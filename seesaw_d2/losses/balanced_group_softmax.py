"""Define Balanced Group Softmax (BAGS), which trains a separate softmax for each group of categories.

Source: Li et al., CVPR 2020, arXiv 2006.10408.

Shapes: N proposals, C foreground categories, G groups of categories, L = C + 2 + G logits. Label C is background.
"""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seesaw_d2.losses.base import (
    ClassificationLoss,
    InvalidArgument,
    check_number,
    weighted_sum,
    widen,
    without_autocast,
)
from seesaw_d2.losses.batch_random import BatchRandom
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)


@LOSS_REGISTRY.register()
class BalancedGroupSoftmaxLoss(ClassificationLoss):
    """Cross-entropy of a separate softmax for each group of categories, and of an objectness softmax.

    A group contains categories with similar numbers of training instances. The softmax of a group has one class for
    each category of the group and a class "others", which is the target of proposals outside the group. This softmax is
    trained on all proposals of the group and on β times as many randomly selected other proposals (section 3.3). The
    loss of a group is the mean over these proposals. A group without proposals in the batch has loss 0.

    ``loss_cls_classes`` is the sum of the losses of the groups. ``loss_cls_objectness`` is the cross-entropy over
    foreground and background. The score of category j is P(j | group of j) P(foreground), where P(j | group of j) is
    the probability of j in the softmax of its group.

    The order of the logits is: C categories, foreground, background, "others" of the G groups. This order does not
    depend on ``bins``. In the reference, the logit "others" of a group precedes the categories of the group.

    The authors and the reference train only the last layer of the classifier, starting from a detector that was trained
    with cross-entropy (docs/decoupled.md). The authors use a learning rate of 0.01 for a batch of 16 images. A training
    of the whole detector may need a lower learning rate than with cross-entropy. The loss of each group is a mean over
    few proposals, so the gradients of the features are several times larger than those of cross-entropy.

    Reference: github tztztztztz/eqlv2, mmdet/models/losses/group_softmax.py. Differences from the reference:

    - The random selection of proposals is reproducible and does not synchronize host and device (see ``BatchRandom``).
    - ``weights`` apply to all losses, and the means of the groups are multiplied by ``default_avg_factor`` /
      ``avg_factor``. The reference ignores both arguments.

    Args:
        num_classes: number of categories C, >= 1.
        instance_counts: (C,) number of training instances of each category. If None, load the groups from a checkpoint.
        bins: increasing numbers > 0, which separate G = len(bins) + 1 groups. Group g contains the categories with
            bins[g - 1] <= count < bins[g].
        beta: β > 0, ratio of proposals outside the group to proposals of the group. The resulting number of proposals
            outside the group is rounded down.
        background: must be "objectness".
        seed: seed of the random selection.

    Buffers:
        group: int64 (C,), group of each category in [0, G), or -1 if unknown. Checkpoints contain this buffer, because
            the logits of a trained classifier depend on the groups. If they differ from the groups of
            ``instance_counts`` and ``bins``, the groups of the checkpoint are used, and a warning is logged.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("objectness",)
    config_keys: ClassVar[dict[str, str]] = {"bins": "BAGS.BINS", "beta": "BAGS.BETA"}
    statistics_keys: ClassVar[dict[str, str]] = {"instance_counts": "instance_count"}
    group: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        instance_counts: Sequence[int] | Tensor | None,
        bins: Sequence[int] = (10, 100, 1000),
        beta: float = 8.0,
        background: str = "objectness",
        seed: int = 0,
    ):
        super().__init__(num_classes, background=background)
        self.bins = _check_bins(bins)
        self.beta = check_number("beta", beta, "a number > 0", lambda value: value > 0)
        counts = category_values("instance_counts", instance_counts, num_classes)
        self._knows_groups = counts is not None
        group = torch.full((num_classes,), -1)
        if counts is not None:
            group = torch.bucketize(counts, counts.new_tensor(self.bins), right=True)
        self.register_buffer("group", group)
        self.random = BatchRandom(seed)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"bins": (list(data.thresholds),)}

    @property
    def num_groups(self) -> int:
        """Return G, the number of groups of categories. Each group has its own softmax."""
        return len(self.bins) + 1

    @property
    def num_logits(self) -> int:
        return super().num_logits + self.num_groups

    def compute(self, logits, labels, weights, avg_factor):
        return self.compute_selected(logits, labels, weights, avg_factor, self.select(labels))

    def update_statistics(self, logits: Tensor, labels: Tensor) -> None:
        """Advance the random number generator, so that the next batch selects other proposals outside the groups."""
        self.random.next_batch()

    def members(self, labels: Tensor) -> Tensor:
        """Return bool (proposals, groups), True if the label of the proposal belongs to the group of categories."""
        group = torch.cat([self.group, self.group.new_full((1,), -1)])[labels]
        return group.unsqueeze(1) == torch.arange(self.num_groups, device=labels.device)

    def select(self, labels: Tensor) -> Tensor:
        """Return bool (proposals, groups), True if the softmax of the group is trained on the proposal.

        Each group selects all of its proposals and, at random, β times as many other proposals.
        """
        members = self.members(labels)
        # To select random proposals outside the group, sort the proposals by random keys in (0, 1). The proposals in
        # the group get the key 2, so that they come last.
        keys = self.random.uniform(*members.shape).masked_fill(members, 2.0)
        place = keys.argsort(dim=0).argsort(dim=0)
        return members | (place < (members.sum(dim=0) * self.beta).floor())

    def compute_selected(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None, avg_factor: float | Tensor, selected: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of a batch, as ``compute`` does, for given random samples.

        Args:
            logits, labels, weights, avg_factor: as in ``ClassificationLoss.forward``.
            selected: bool (proposals, groups), True if the softmax of the group is trained on the proposal.
        """
        classes, objectness, others = self._split(logits)
        log_sums = self._log_sums(classes, others)
        own = classes.gather(1, labels.clamp(max=self.num_classes - 1).unsqueeze(1))
        losses = log_sums - torch.where(self.members(labels), own, others)
        used = selected.to(logits.dtype)
        if weights is not None:
            selected, used = selected & (weights > 0).unsqueeze(1), used * weights.unsqueeze(1)
        means = (losses * used).sum(dim=0) / selected.sum(dim=0).clamp(min=1)
        scale = self.default_avg_factor(labels, weights) / avg_factor
        objectness = F.cross_entropy(objectness, (labels == self.num_classes).long(), reduction="none")
        return {
            "loss_cls_classes": means.sum() * scale,
            "loss_cls_objectness": weighted_sum(objectness, weights) / avg_factor,
        }

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores of N proposals for C categories and background, (N, C + 1).

        The score of category j is P(j | group of j) P(foreground), where P(j | group of j) is the probability of j in
        the softmax of its group. The last score is P(background).
        """
        classes, objectness, others = self._split(widen(logits))
        foreground, background = objectness.softmax(dim=1).split(1, dim=1)
        in_group = (classes - self._log_sums(classes, others)[:, self.group]).exp()
        return torch.cat([in_group * foreground, background], dim=1)

    def _split(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self._knows_groups:
            raise not_given("instance_counts")
        self.check_width(logits)
        return logits.split([self.num_classes, 2, self.num_groups], dim=1)

    def _log_sums(self, classes: Tensor, others: Tensor) -> Tensor:
        """Return the log-sum-exp of the logits of each group g, log(e^{others_g} + Σ_{j in g} e^{z_j}).

        Args:
            classes: logits z_j of the categories, (proposals, categories).
            others: logits of the class "others" of each group, (proposals, groups).

        Returns:
            (proposals, groups).
        """
        group = self.group.expand_as(classes)
        peak = others.detach().scatter_reduce(1, group, classes.detach(), "amax")
        in_group = self._indicator(classes.dtype)
        with without_autocast(classes.device):
            sums = (classes - peak[:, self.group]).exp() @ in_group
        return peak + (sums + (others - peak).exp()).log()

    def _indicator(self, dtype: torch.dtype) -> Tensor:
        """Return a tensor (categories, groups) with 1 if the category belongs to the group, otherwise 0.

        A matrix product with this tensor sums over the categories of each group. Unlike ``scatter_add`` on CUDA, the
        product is deterministic.
        """
        groups = torch.arange(self.num_groups, device=self.group.device)
        return (self.group.unsqueeze(1) == groups).to(dtype)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        saved = state_dict.get(prefix + "group")
        if saved is not None and saved.shape == self.group.shape:
            valid = bool(((saved >= 0) & (saved < self.num_groups)).all())
            if self._knows_groups and not valid:  # the checkpoint has no groups, or those of another number of bins
                state_dict[prefix + "group"] = self.group
            elif self._knows_groups and not torch.equal(saved.to(self.group), self.group):
                warn_once(
                    logger,
                    "BalancedGroupSoftmaxLoss: the groups of the loaded checkpoint replace the groups of "
                    f"instance_counts and bins={self.bins}, from which they differ.",
                )
            self._knows_groups |= valid
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bins={self.bins}, beta={self.beta}"


def _check_bins(bins) -> tuple[float, ...]:
    expected = "increasing numbers > 0"
    try:
        values = tuple(check_number("bins", value, expected, lambda value: value > 0) for value in bins)
    except TypeError:
        raise InvalidArgument("bins", expected, bins) from None
    if list(values) != sorted(set(values)):
        raise InvalidArgument("bins", expected, bins)
    return values
