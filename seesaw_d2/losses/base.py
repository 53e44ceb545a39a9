"""The interface of classification losses, which the box predictor and the image classifier use.

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seesaw_d2.errors import SeesawError
from seesaw_d2.losses.argument_checks import check_inputs
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.logit_maps import MapLoss, as_maps
from seesaw_d2.losses.precision import widen, without_autocast
from seesaw_d2.utils.declared_keys import lookup

# Number of logits in addition to those of the C categories, for each way to model background.
_BACKGROUND_LOGITS = {"objectness": 2, "class": 1, "implicit": 0, "none": 0}


class InvalidArgument(SeesawError):
    """Raised for an invalid constructor argument. ``build_loss`` replaces the argument's name by the config key."""

    def __init__(self, name: str, expected: str, found: Any):
        super().__init__(f"{name}: expected {expected}, found {found!r}")
        self.name, self.expected, self.found = name, expected, found


def check_number(name: str, value: float, expected: str, accepts: Callable[[float], bool]) -> float:
    """Return ``value`` as a float. Raise InvalidArgument if it is not a finite number or ``accepts`` returns False."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidArgument(name, expected, value) from None
    if not (math.isfinite(number) and accepts(number)):
        raise InvalidArgument(name, expected, value)
    return number


def check_integer(name: str, value: int, minimum: int) -> int:
    """Return ``value`` as an int. Raise InvalidArgument if it is too small or not an integer (True, 2.0)."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < minimum:
        raise InvalidArgument(name, f"an integer >= {minimum}", value)
    return number


class ClassificationLoss(nn.Module):
    """Base class of all classification losses. A subclass implements three methods:

    - ``compute`` returns the losses. It is a pure function of its arguments and of the module's state.
    - ``update_statistics`` updates the method's statistics of the training, if it has any.
    - ``probabilities`` returns the scores for inference.

    Args:
        num_classes: integer C >= 1, number of foreground categories.
        background: how background is modelled. "objectness": two more logits after those of the C categories,
            foreground and background, L = C + 2. "class": one more class, the last one, L = C + 1. "implicit": each
            category is accepted or rejected independently, and a proposal that all reject is background, L = C. "none":
            image classification without background, L = C and labels in [0, C). A loss that needs further logits
            overrides ``num_logits`` and appends them.

    Raises:
        ValueError: ``num_classes`` is not an integer >= 1, or this loss does not support ``background``.
    """

    # Supported ways to model background. The first one is the default.
    backgrounds: ClassVar[tuple[str, ...]] = tuple(_BACKGROUND_LOGITS)
    # Whether the statistics are updated with the batch before its loss is computed; EQL v2 updates them afterwards.
    updates_first: ClassVar[bool] = True
    # Soft labels over the C categories, which PairwiseClassBalance computes. "softmax": categories compete, each row of
    # soft labels sums to 1. "sigmoid": categories are independent. None: not supported. ``compute`` and
    # ``update_statistics`` take another argument, ``targets``: (N, C), 0 in background rows; None: one-hot labels.
    soft_labels: ClassVar[str | None] = None
    # Whether ``forward`` takes maps: the loss is a sum over samples, and its statistics do not depend on the logits.
    takes_maps: ClassVar[bool] = False
    # Scores of the categories: "softmax", "sigmoids" (independent of each other) or "" (neither).
    scores: ClassVar[str] = ""
    # Constructor argument -> config key below MODEL.ROI_BOX_HEAD.CLS_LOSS.
    config_keys: ClassVar[dict[str, str]] = {}
    # Constructor argument -> statistic of the training set: "image_count" or "instance_count", (C,) int64,
    # "num_images", an int, or "image_frequency", (C,), images with the category over annotated images. The argument is
    # None if the training set cannot be read.
    statistics_keys: ClassVar[dict[str, str]] = {}
    # Further keys of this node that the training schedule reads to compute values of the keys above.
    schedule_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(self, num_classes: int, *, background: str):
        super().__init__()
        if background not in self.backgrounds:
            choices = ", ".join(f'"{name}"' for name in self.backgrounds)
            raise InvalidArgument("background", f"one of {choices} for {type(self).__name__}", background)
        self.num_classes = check_integer("num_classes", num_classes, 1)
        self.background = background

    @property
    def num_logits(self) -> int:
        """Return L, the number of classifier outputs that this loss needs."""
        return self.num_classes + _BACKGROUND_LOGITS[self.background]

    @property
    def num_label_values(self) -> int:
        """Return the number of valid labels: C + 1 with background, C without. Labels lie in [0, num_label_values)."""
        return self.num_classes + (self.background != "none")

    def initial_bias(self) -> Tensor | None:
        """Return the initial bias of the classifier, (L,), or None to keep it at 0."""
        return None

    @classmethod
    def config_arguments(cls, node: Any, statistics: Callable[[], Any] | None) -> dict[str, Any]:
        """Return the constructor arguments that the config defines, except ``background``.

        Args:
            node: the config node MODEL.ROI_BOX_HEAD.CLS_LOSS.
            statistics: returns the category statistics of the training set. It may read annotations, so call it only if
                needed. None: there are no statistics. Most losses set ``statistics_keys`` instead of calling it.
        """
        return {argument: lookup(node, key) for argument, key in cls.config_keys.items()}

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        """Return argument -> values that ``tools/choose_loss.py`` combines. Others keep the config's values."""
        return {}

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        ignore_index: int | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of a batch. In training mode, also update the statistics of the loss.

        Args:
            logits: (N, L) floating point. Half precision is converted to float32, also under autocast. With
                ``takes_maps`` and background "none" or "class" also maps (N, L, H, W), whose pixels are the samples;
                they need no more memory than in ``F.cross_entropy``.
            labels: (N,) int64 in [0, C], where C is background (in [0, C) with background "none"). For maps (N, H, W).
            weights: >= 0, with the shape of ``labels``. Default: all 1.
            avg_factor: > 0, divisor of the weighted sums: a number, or a tensor of shape (), which is not synchronized
                with the host. A tensor is clamped from below to 1.2e-7, the float32 epsilon, so that an empty batch
                gives 0, not NaN. Default: ``default_avg_factor``, the number of this process's proposals with a weight
                > 0, background included, at least 1. The box predictor passes its mean over all processes.
                ``F.cross_entropy(weight=...)`` divides by the sum of the weights: pass ``weights.sum()``.
            ignore_index: samples with this label have no loss and are not counted. It has the same requirements as
                maps.

        Returns:
            dict of scalars whose names begin with loss_cls. Batches without proposals or without foreground give zeros
            that are connected to the graph.

        Raises:
            ValueError: wrong shape or dtype, a label out of range or a negative weight (see ``check_inputs``).
        """
        if logits.dim() > 2 or ignore_index is not None:
            return self._map_losses(logits, labels, weights, avg_factor, ignore_index)
        self.check_width(logits)
        check_inputs(logits, labels, weights, avg_factor, self.num_label_values)
        with without_autocast(logits.device):
            logits = widen(logits)
            if weights is not None:
                weights = weights.to(logits.dtype)
            avg_factor = self._divisor(labels, weights, avg_factor, logits.dtype)
            self._update(logits, labels, before_loss=True)
            losses = self.compute(logits, labels, weights, avg_factor)
            self._update(logits, labels, before_loss=False)
        return losses

    def set_iteration(self, index: int, count: int) -> None:
        """Declare that the next call is number ``index``, in [0, ``count``), of ``count`` calls in one training step.

        A head that classifies every proposal several times per step calls this method. By default every call is a step.
        """

    def num_averaged(self, labels: Tensor, weights: Tensor | None) -> int | Tensor:
        """Return the number of proposals with a positive weight. Losses with another average override it."""
        return labels.numel() if weights is None else (weights > 0).sum()  # stays on the device

    def default_avg_factor(self, labels: Tensor, weights: Tensor | None) -> int | Tensor:
        """Return ``num_averaged``, clamped from below to 1."""
        count = self.num_averaged(labels, weights)
        return count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None, avg_factor: float | Tensor
    ) -> dict[str, Tensor]:
        """Return the losses as float32 or float64, without side effects. ``forward`` has checked the arguments."""
        raise NotImplementedError

    def update_statistics(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> None:
        """Update the statistics with a batch. Every rank calls it in every training step, without gradient."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores (N, C + 1), background last, for logits (N, L). With background "none": (N, C)."""
        raise NotImplementedError

    def check_width(self, logits: Tensor, *, maps: bool = False) -> None:
        """Raise ValueError, with the required last layer, unless logits are (N, L), or with ``maps`` (N, L, ...)."""
        right = (logits.dim() == 2 or (maps and logits.dim() > 2)) and logits.shape[1] == self.num_logits
        if torch.jit.is_tracing() or right:
            return
        more = self.num_logits - self.num_classes
        raise ValueError(
            f"logits: expected shape (N, {self.num_logits}), found {tuple(logits.shape)}; {type(self).__name__} with "
            f'num_classes={self.num_classes} and background="{self.background}" needs a last layer of loss.num_logits '
            f"= C{f' + {more}' if more else ''} = {self.num_logits} outputs"
        )

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, background={self.background!r}"

    def _map_losses(self, logits, labels, weights, avg_factor, ignore_index) -> dict[str, Tensor]:
        if not self.takes_maps or self.background == "objectness":
            name = f'{type(self).__name__} with background "{self.background}"'
            raise ValueError(f"logits: {name} takes rows (N, L) without ignore_index, found {tuple(logits.shape)}")
        self.check_width(logits, maps=True)
        check_inputs(logits, labels, weights, avg_factor, self.num_label_values, ignore_index)
        labelled = torch.ones_like(labels, dtype=torch.bool) if ignore_index is None else labels != ignore_index
        kept, kept_weights = labels[labelled], None if weights is None else weights[labelled]

        with without_autocast(logits.device):
            self._update(logits, kept, before_loss=True)
            total = MapLoss.apply(*as_maps(logits, labels, weights, labelled), self.compute)
            self._update(logits, kept, before_loss=False)
            return {"loss_cls": total / self._divisor(kept, kept_weights, avg_factor, total.dtype)}

    def _divisor(self, labels, weights, avg_factor, dtype: torch.dtype) -> float | Tensor:
        if isinstance(avg_factor, Tensor):
            return avg_factor.to(dtype).clamp(min=torch.finfo(torch.float32).eps)
        return self.default_avg_factor(labels, weights) if avg_factor is None else avg_factor

    def _update(self, logits: Tensor, labels: Tensor, *, before_loss: bool) -> None:
        """Update the statistics in training mode, if ``updates_first`` equals ``before_loss``."""
        if self.training and before_loss == self.updates_first:
            with torch.no_grad():
                self.update_statistics(logits.detach(), labels)


def weighted_sum(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Return Σ_n weights_n losses_n, for losses (N,)."""
    return (losses if weights is None else losses * weights).sum()
