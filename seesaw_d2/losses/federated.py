"""Define the federated loss of CenterNet2, a cross-entropy over a random subset of the categories.

Source: Probabilistic two-stage detection (Zhou et al., arXiv 2103.07461, appendix).

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seesaw_d2.losses.base import check_integer, check_number, weighted_sum
from seesaw_d2.losses.batch_random import BatchRandom
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.precision import widen
from seesaw_d2.losses.sigmoid import SigmoidLoss


@LOSS_REGISTRY.register()
class FederatedLoss(SigmoidLoss):
    """Cross-entropy over a random subset S of the categories, for federated datasets such as LVIS.

    In a federated dataset, an image is annotated only for some of the categories. A new subset S is drawn for each
    batch. S contains all categories in the batch. If the batch has fewer than ``num_sampled`` categories, further
    categories are drawn without replacement, with a probability proportional to (number of images)^``power``.

    - background "implicit": sigmoid cross-entropy over S, Σ_{j in S} BCE(σ(z_j), y_j), where BCE is the binary
      cross-entropy, z_j is the logit of category j, and y_j is 1 if j is the label, otherwise 0.
    - background "class": softmax cross-entropy over S and background.

    References: github xingyizhou/CenterNet2, centernet/modeling/roi_heads/fed_loss.py and custom_fast_rcnn.py, and
    ``USE_FED_LOSS`` in Detectron2's main branch. As in the references, each process draws its own S. Differences from
    CenterNet2:

    - Background does not count towards ``num_sampled``. In CenterNet2, background counts.
    - The random selection of categories is reproducible and does not synchronize host and device (see ``BatchRandom``).
    - The softmax excludes categories outside S. CenterNet2 only masks the losses of proposals whose label is outside S.
      Since S contains all labels, this mask has no effect, and CenterNet2 computes plain cross-entropy.

    Args:
        num_classes: number of categories C, >= 1.
        image_counts: (C,) number of training images that contain each category, or None for inference only.
        num_sampled: >= 1, number of categories in S. S is larger if the batch contains more categories.
        power: >= 0. With 0, all categories with images have the same probability.
        background: "implicit" (default) for sigmoids, or "class" for a softmax.
        prior: π, initial value of each σ(z_j), as in ``SigmoidLoss``. Only background "implicit" uses this argument.
        seed: seed of the random numbers.

    Buffers:
        sampling_weights: float64 (C,), (number of images)^``power``, or 0 for a category without images, whose logit is
            never trained. Checkpoints do not contain this buffer, because the training data determines the values.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("implicit", "class")
    config_keys: ClassVar[dict[str, str]] = {
        "num_sampled": "FEDERATED.NUM_SAMPLED",
        "power": "FEDERATED.POWER",
        "prior": "FEDERATED.PRIOR",
    }
    statistics_keys: ClassVar[dict[str, str]] = {"image_counts": "image_count"}
    sampling_weights: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        image_counts: Sequence[int] | Tensor | None,
        num_sampled: int = 50,
        power: float = 0.5,
        background: str = "implicit",
        prior: float = 0.01,
        seed: int = 0,
    ):
        super().__init__(num_classes, background=background, prior=prior)
        self.num_sampled = check_integer("num_sampled", num_sampled, 1)
        self.power = check_number("power", power, "a number >= 0", lambda value: value >= 0)
        counts = category_values("image_counts", image_counts, num_classes)
        weights = None if counts is None else torch.where(counts > 0, counts**self.power, 0.0)
        self.register_buffer("sampling_weights", weights, persistent=False)
        self.random = BatchRandom(seed)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"num_sampled": (max(1, min(50, data.num_classes // 2)),), "prior": (data.prior,)}

    def initial_bias(self) -> Tensor | None:
        return super().initial_bias() if self.background == "implicit" else None

    def update_statistics(self, logits: Tensor, labels: Tensor) -> None:
        """Advance the random number generator, so that the next batch gets a new random subset of the categories."""
        self.random.next_batch()

    def select(self, labels: Tensor) -> Tensor:
        """Draw a random subset of the C categories, bool (C,), which contains all categories in ``labels``."""
        if self.sampling_weights is None:
            raise not_given("image_counts")
        counts = torch.zeros(self.num_classes + 1, dtype=torch.int64, device=labels.device)
        present = counts.scatter_add(0, labels, torch.ones_like(labels))[: self.num_classes] > 0
        # Sample categories without replacement, in proportion to their sampling weights: draw an exponential random
        # number with the sampling weight as rate for each category, and take the categories with the smallest numbers.
        # The categories in the batch get the number -1, so that they come first.
        times = -self.random.uniform(self.num_classes).log() / self.sampling_weights
        place = times.masked_fill(present, -1.0).argsort().argsort()
        return present | ((place < self.num_sampled) & (self.sampling_weights > 0))

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the factor of the binary loss of each category, (C,): 1 if it is in the random subset, otherwise 0."""
        return self.select(labels).to(logits.dtype)

    def compute(self, logits, labels, weights, avg_factor):
        if self.background == "implicit":
            return super().compute(logits, labels, weights, avg_factor)
        left_out = ~self.select(labels)
        left_out = torch.cat([left_out, left_out.new_zeros(1)])
        losses = F.cross_entropy(logits.masked_fill(left_out, -torch.inf), labels, reduction="none")
        return {"loss_cls": weighted_sum(losses, weights) / avg_factor}

    def probabilities(self, logits: Tensor) -> Tensor:
        if self.background == "implicit":
            return super().probabilities(logits)
        self.check_width(logits)
        return widen(logits).softmax(dim=1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, num_sampled={self.num_sampled}, power={self.power}"
