"""Define Inverse Image Frequency (IIF), a cross-entropy of logits that are weighted by the frequency of the category.

Source: Inverse Image Frequency for Long-tailed Image Recognition (Alexandridis et al., TIP 2023, arXiv 2209.04861).

Shapes: C foreground categories.
"""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.argument_checks import Description, InvalidArgument
from seesaw_d2.losses.base import check_integer
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss
from seesaw_d2.losses.link_functions import LINKS, link_weights
from seesaw_d2.losses.precision import widen
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)

# A warning is logged if a weight differs by more than this fraction. Rounding to bfloat16 changes weights by 4e-3.
_ROUNDING = 1e-2


@LOSS_REGISTRY.register()
class InverseImageFrequencyLoss(CrossEntropyLoss):
    """Cross-entropy of weighted logits. Categories that are rare in the training set have larger weights.

    The loss is the cross-entropy of w_j z_j, where z_j is the logit and w_j the weight of category j. The scores are
    the softmax of w_j z_j. Background and the logits of an objectness branch have weight 1. A link function computes w
    from the frequencies of the categories (see ``losses.link_functions.link_weights``).

    Reference: github kostas1515/iif, instance_segmentation/mmdet/models/losses/iif_loss.py. Differences from the
    reference:

    - A category without images counts as if it had one image. In the reference, its weight is infinite.
    - A weight w_j <= 0 raises an error, because 0 removes the logit and a negative weight reverses its sign. With
      "prob" and "normit", the weight is <= 0 for categories in at least half of the images. With "gombit", the weight
      is <= 0 for categories in more than 63 % of the images. With "raw", "base2" and "base10", the weight is 0 for
      categories in all images.
    - The weights of the classifier layer are initialized randomly. The reference sets all of them to 0.001.

    Args:
        num_classes: number of categories C, >= 1.
        image_counts: (C,) n >= 0, number of training images that contain each category, or None if unknown.
        instance_counts: (C,) n >= 0, number of training instances of each category, or None if unknown. Only
            ``counts="instances"`` uses this argument.
        num_images: integer >= 1, number of training images, or None if unknown.
        link: link function: "raw" (default), "smooth", "prob", "normit", "gombit", "base2" or "base10".
        counts: definition of the frequency.
            "images" (default): the share of the training images that contain the category.
            "instances": the share of the training instances that belong to the category, as in the reference's links
            with the suffix ``_obj``.
        allow_negative: whether to accept weights <= 0, as the reference does.
        background: "class" (default), "objectness" or "none".

    Buffers:
        link_weights: float64 (C,), w. Checkpoints contain this buffer, because the scores depend on w. If the counts
            are given, w is computed from the counts, and loading a checkpoint does not change w. If the checkpoint has
            other weights, a warning is logged.
    """

    soft_labels: ClassVar[str | None] = None
    score_options: ClassVar[dict[str, Any]] = {"link": "raw", "counts": "images"}
    config_keys: ClassVar[dict[str, str]] = {"link": "IIF.LINK", "counts": "IIF.COUNTS"}
    statistics_keys: ClassVar[dict[str, str]] = {
        "image_counts": "image_count",
        "instance_counts": "instance_count",
        "num_images": "num_images",
    }
    link_weights: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        image_counts: Sequence[int] | Tensor | None,
        instance_counts: Sequence[int] | Tensor | None,
        num_images: int | None,
        link: str = "raw",
        counts: str = "images",
        allow_negative: bool = False,
        background: str = "class",
    ):
        super().__init__(num_classes, background=background)
        if link not in LINKS:
            raise InvalidArgument("link", f"one of {', '.join(sorted(LINKS))}", link)
        if counts not in ("images", "instances"):
            raise InvalidArgument("counts", '"images" or "instances"', counts)
        self.link, self.counts, self.allow_negative = link, counts, allow_negative
        if num_images is not None:
            num_images = check_integer("num_images", num_images, 1)
        name, values = ("image_counts", image_counts) if counts == "images" else ("instance_counts", instance_counts)
        found = category_values(name, values, num_classes)
        self._has_counts = found is not None and (counts == "instances" or num_images is not None)
        self._has_weights = self._has_counts
        weights = torch.full((num_classes,), torch.nan, dtype=torch.float64)
        if found is not None and self._has_counts:
            found = found.clamp(min=1)
            if counts == "images" and num_images is not None and found.max() > num_images:
                expected = f"an integer >= {found.max():g}, the largest value in image_counts"
                advice = "image_counts must contain numbers of images, not of instances."
                raise InvalidArgument("num_images", expected, num_images, advice)
            weights = self._checked_weights(found, num_images if counts == "images" else found.sum())
        self.register_buffer("link_weights", weights)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"link": ("raw", "smooth")}

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits w_j z_j, where w_j is the weight of category j. ``labels`` are ignored."""
        return self.weighted(logits)

    def probabilities(self, logits: Tensor) -> Tensor:
        self.check_width(logits)
        return super().probabilities(self.weighted(widen(logits)))

    def weighted(self, logits: Tensor) -> Tensor:
        """Multiply the logits of each category by the category's weight. Other logits do not change."""
        if not self._has_weights:
            names = "image_counts and num_images" if self.counts == "images" else "instance_counts"
            advice = (
                "Pass the statistics, or load a checkpoint with the buffer link_weights, which is computed from them. "
                "A model that is built from a config reads the statistics from DATASETS.TRAIN."
            )
            raise InvalidArgument(names, "the statistics of the training set", None, advice)
        ones = self.link_weights.new_ones(logits.shape[1] - self.num_classes)
        return logits * torch.cat([self.link_weights, ones]).to(logits.dtype)

    def _checked_weights(self, counts: Tensor, total: Any) -> Tensor:
        weights = link_weights(self.link, counts, total)
        lowest = weights.nan_to_num(nan=-torch.inf).min().item()
        if not torch.isfinite(weights).all() or (lowest <= 0 and not self.allow_negative):
            share = f"{(counts / total).max():.1%} of the training {self.counts}"
            found = Description(f'"{self.link}" with the weight {lowest:.3g} for a category with {share}')
            advice = 'Set "smooth", whose weights are at least 1 for all frequencies.'
            raise InvalidArgument("link", "a link function with a weight > 0 for each category", found, advice)
        return weights

    def _load_from_state_dict(self, state_dict, prefix, *args):
        saved = state_dict.get(prefix + "link_weights")
        usable = saved is not None and bool(torch.isfinite(saved).all())
        if self._has_counts:  # keep the weights of the given counts, not those of the checkpoint
            if usable and saved.shape == self.link_weights.shape:
                self._warn_of_difference(saved.to(self.link_weights))
            state_dict[prefix + "link_weights"] = self.link_weights
        self._has_weights |= usable
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _warn_of_difference(self, saved: Tensor) -> None:
        difference = (saved - self.link_weights).abs() / self.link_weights.abs()
        if difference.max() > _ROUNDING:
            index = int(difference.argmax())
            warn_once(
                logger,
                f"InverseImageFrequencyLoss: category {index} has the weight {self.link_weights[index]:.4g} in this "
                f"training set, but {saved[index]:.4g} in the loaded checkpoint. The weights of this training "
                "set are used, and the scores depend on them. Check DATASETS.TRAIN, unless you train on new data.",
            )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, link={self.link!r}, counts={self.counts!r}"
