"""Define Gumbel Optimized Loss (GOL), a binary cross-entropy with the Gumbel activation instead of the sigmoid.

Source: Alexandridis et al., ECCV 2022, arXiv 2203.16271.

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import InvalidArgument, check_number, widen
from seesaw_d2.losses.batch_random import BatchRandom
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.sigmoid import SigmoidLoss
from seesaw_d2.utils.distributed import rank

# Training clamps each logit z to this range, as in the authors' code, so that the loss exp(-z) stays finite.
_MIN_LOGIT, _MAX_LOGIT = -4.0, 10.0
# If GOL.WEIGHTING is "none", the loss of a batch is clamped to at most this value, as in the authors' code.
_MAX_LOSS = 20.0
# One of this many training steps checks whether the loss is clamped, and logs a warning if so. More checks would slow
# down the training, because each check synchronizes host and device.
_CHECK_PERIOD = 100


@LOSS_REGISTRY.register()
class GumbelOptimizedLoss(SigmoidLoss):
    """Binary cross-entropy with the Gumbel activation η(z) = exp(-exp(-z)) in place of the sigmoid.

    L = Σ_j w_j BCE(η(z_j), y_j), where BCE is the binary cross-entropy, z_j the logit of category j, and y_j is 1 if j
    is the label, otherwise 0. A category is rare if its frequency f is below λ. The weights w_j remove negative samples
    of rare categories. ``weighting`` selects the weights:

    - "eql" (Tan et al., CVPR 2020): w_j = 0 if j is rare and the label is another category, otherwise w_j = 1.
      Background proposals have w_j = 1.
    - "drop" (DropLoss, Hsieh et al., AAAI 2021), used by the authors: foreground proposals have the weights of "eql".
      For a background proposal and a rare category j, w_j = 0 with probability 1 - ρ, where ρ is the share of the
      foreground proposals of the batch that belong to rare categories. In a batch without foreground, all w_j are 1.
    - "none": w_j = 1. The loss of a batch is clamped to at most 20, and a clamped loss has no gradient. With many
      categories, the loss of a normalized classifier is clamped from the first step on, so that the classifier does not
      learn. Therefore the loss is checked in the first of every 100 training steps. A clamped loss logs a warning.

    Image classifiers (background "none") need weighting "none". Without background samples, "drop" and "eql" would
    remove all negative samples of rare categories, and the model would predict these categories for every image.

    Reference: github kostas1515/GOL, mmdet/models/losses/{droploss,eql,gumbel_ce}.py. As in the reference, training
    clamps the logits to [-4, 10]. Differences from the reference:

    - The loss of a positive sample is exp(-z), and its gradient is -exp(-z). The reference calls PyTorch's
      ``binary_cross_entropy``, whose gradient is almost 0 for z < -3.3.
    - The random numbers of "drop" are a hash of the batch index (``BatchRandom``), so that a resumed training draws the
      same numbers as an uninterrupted training.
    - ``weights`` and ``avg_factor`` have an effect. With "drop" and "eql" the reference ignores both arguments.

    Args:
        num_classes: number of categories C, >= 1.
        image_frequency: (C,) f in [0, 1], share of the annotated training images that contain the category, or None for
            inference only.
        weighting: "drop", "eql" or "none".
        lambda_: λ >= 0. The comparison f < λ is in float32, as in the reference. The authors use 1.1e-3 for LVIS v1.
        activation: "gumbel" or "sigmoid".
        background: "implicit" (default), "class" or "none". With "class", the score of each category is η(z_j).
        prior: in (0, 1), initial value of each η(z_j), or of σ(z_j) with activation "sigmoid". The default gives the
            initial bias -2.75, which the authors use for LVIS.
        seed: seed of the random numbers.

    Buffers:
        rare: bool (num_logits,), True for rare categories, f < λ, and False for background. Checkpoints do not contain
            this buffer, because the training data determines the values.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("implicit", "class", "none")
    score_options: ClassVar[dict[str, Any]] = {"gumbel": True}
    config_keys: ClassVar[dict[str, str]] = {
        "weighting": "GOL.WEIGHTING",
        "lambda_": "GOL.LAMBDA",
        "activation": "GOL.ACTIVATION",
        "prior": "GOL.PRIOR",
    }
    statistics_keys: ClassVar[dict[str, str]] = {"image_frequency": "image_frequency"}
    rare: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        image_frequency: Sequence[float] | Tensor | None,
        weighting: str = "drop",
        lambda_: float = 1.1e-3,
        activation: str = "gumbel",
        background: str = "implicit",
        prior: float = 1.6e-7,
        seed: int = 0,
    ):
        super().__init__(num_classes, background=background, prior=prior)
        if weighting not in ("drop", "eql", "none"):
            raise InvalidArgument("weighting", '"drop", "eql" or "none"', weighting)
        if activation not in ("gumbel", "sigmoid"):
            raise InvalidArgument("activation", '"gumbel" or "sigmoid"', activation)
        self.weighting, self.gumbel = weighting, activation == "gumbel"
        self.lambda_ = check_number("lambda_", lambda_, "a number >= 0", lambda value: value >= 0)
        frequency = category_values("image_frequency", image_frequency, num_classes, shares=True)
        rare = None if frequency is None else frequency.float() < torch.tensor(self.lambda_, dtype=torch.float32)
        if rare is not None and background == "class":
            rare = torch.cat([rare, rare.new_zeros(1)])
        self.register_buffer("rare", rare, persistent=False)
        self.random = BatchRandom(seed)
        self._calls = 0

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"lambda_": (data.rare_share,), "prior": (data.prior,)}

    def initial_bias(self) -> Tensor:
        if not self.gumbel:
            return super().initial_bias()
        return torch.full((self.num_logits,), -math.log(-math.log(self.prior)))

    def update_statistics(self, logits: Tensor, labels: Tensor) -> None:
        """Advance the random number generator. With weighting "none", check every 100 steps if the loss is clamped.

        The loss is not checked in compiled models, because reading values would break the graph.
        """
        self.random.next_batch()
        if self.weighting != "none" or logits.is_meta or not len(labels) or torch.compiler.is_compiling():
            return
        if self._calls % _CHECK_PERIOD == 0:
            self._report_clamped(logits, labels)
        self._calls += 1

    def activation(self, logits: Tensor) -> Tensor:
        """Return the probability η(z_j) = exp(-exp(-z_j)) of each logit z_j, or σ(z_j) with activation "sigmoid"."""
        return torch.exp(-torch.exp(-logits)) if self.gumbel else super().activation(logits)

    def binary_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the binary cross-entropy BCE(η(z_j), y_j) of each logit z_j with target y_j, in the same shape.

        With d = exp(-z), the loss is -log η = d for a positive sample and -log(1 - exp(-d)) for a negative sample.
        """
        if not self.gumbel:
            return super().binary_losses(logits, targets)
        positive = torch.exp(-logits.clamp(_MIN_LOGIT, _MAX_LOGIT))
        negative = -torch.log(-torch.expm1(-positive))
        return targets * positive + (1 - targets) * negative

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the factor of the binary loss of each logit, in a shape that broadcasts to that of the logits.

        The factor is 0 for negative samples of rare categories that ``weighting`` removes, otherwise 1.
        """
        if self.weighting == "none":
            return logits.new_ones(1)
        if self.rare is None:
            raise not_given("image_frequency")
        foreground = labels < self.num_classes
        dropped = foreground.unsqueeze(1)
        if self.weighting == "drop":
            rare_rows = self.rare[labels.clamp(max=self.num_classes - 1)] & foreground
            # Without foreground proposals, the ratio is 0 / 0 = NaN. Every comparison with NaN is False, so that no
            # sample is dropped.
            ratio = rare_rows.sum().double() / foreground.sum()
            dropped = dropped | (self.random.uniform(*logits.shape) > ratio)
        return 1 - (dropped & self.rare).to(logits.dtype) * (1 - targets)

    def compute(self, logits, labels, weights, avg_factor):
        losses = super().compute(logits, labels, weights, avg_factor)
        if self.weighting == "none":
            losses["loss_cls"] = losses["loss_cls"].clamp(max=_MAX_LOSS)
        return losses

    def _report_clamped(self, logits: Tensor, labels: Tensor) -> None:
        loss = float(super().compute(widen(logits), labels, None, len(labels))["loss_cls"])
        if loss > _MAX_LOSS and rank() == 0:
            step = int(self.random.num_batches)
            logging.getLogger(__name__).warning(
                f"The loss of training step {step} is {loss:.4g}. With CLS_LOSS.GOL.WEIGHTING none, losses "
                f"above {_MAX_LOSS:g} are clamped and have no gradient. If this warning repeats, the model does not "
                "learn. In this case, set CLS_PREDICTOR.NAME to Linear, or CLS_LOSS.NAME to another loss."
            )

    def probabilities(self, logits: Tensor) -> Tensor:
        if self.background != "class":
            return super().probabilities(logits)
        self.check_width(logits)
        return self.activation(widen(logits))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, weighting={self.weighting!r}, lambda_={self.lambda_}"
