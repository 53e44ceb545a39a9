"""The contract of a classification loss: what the box predictor calls, whatever the loss is.

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

import math
import operator
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seesaw_d2.errors import SeesawError
from seesaw_d2.losses.argument_checks import check_inputs

# Logits beside the C categories', for each way to model background.
_BACKGROUND_LOGITS = {"objectness": 2, "class": 1, "implicit": 0, "none": 0}


class InvalidArgument(SeesawError):
    """A constructor's argument is wrong; ``build_loss`` turns its name into the config key's."""

    def __init__(self, name: str, expected: str, found: Any):
        super().__init__(f"{name}: expected {expected}, found {found!r}")
        self.name, self.expected, self.found = name, expected, found


def check_number(name: str, value: float, expected: str, accepts: Callable[[float], bool]) -> float:
    """``value`` as a float, or InvalidArgument if it is no finite number or ``accepts`` refuses it."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidArgument(name, expected, value) from None
    if not (math.isfinite(number) and accepts(number)):
        raise InvalidArgument(name, expected, value)
    return number


def check_integer(name: str, value: int, minimum: int) -> int:
    """``value`` as an int, or InvalidArgument if it is none (True and 2.0 are none) or below ``minimum``."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < minimum:
        raise InvalidArgument(name, f"an integer >= {minimum}", value)
    return number


class ClassificationLoss(nn.Module):
    """Base of every classification loss. A subclass writes three parts:

    - ``compute``: the losses, a pure function of its arguments and of the module's state;
    - ``update_statistics``: what the method counts during training, if anything;
    - ``probabilities``: the scores at inference.

    Args:
        num_classes: integer C >= 1, foreground categories.
        background: how background is modelled. "objectness": two logits after the C categories',
            foreground and background, L = C + 2. "class": one more class, last, L = C + 1. "implicit": every
            category is accepted or rejected for itself, and background is what all of them reject, L = C.
            "none": image classification, L = C and labels in [0, C). A loss that needs more logits than these
            overrides ``num_logits`` and puts them after.

    Raises:
        ValueError: ``num_classes`` is no integer >= 1, or this loss does not support ``background``.
    """

    # The ways to model background that this loss supports, its default first.
    backgrounds: ClassVar[tuple[str, ...]] = tuple(_BACKGROUND_LOGITS)
    # Whether the statistics include the current batch before its loss is computed. Seesaw: yes; EQL v2: no.
    updates_first: ClassVar[bool] = True
    # How this loss takes soft labels over the C categories in place of hard ones, as PairwiseClassBalance makes
    # them. "softmax": categories compete, a row of soft labels sums to 1. "sigmoid": each on its own. None: not
    # at all. With "softmax" or "sigmoid", ``compute`` and ``update_statistics`` take one more argument,
    # ``targets``: (N, C), rows of background proposals 0; None is the labels themselves, one-hot.
    soft_labels: ClassVar[str | None] = None
    # Constructor argument -> config key below MODEL.ROI_BOX_HEAD.CLS_LOSS.
    config_keys: ClassVar[dict[str, str]] = {}
    # Constructor argument -> statistic of the training set: "image_count" and "instance_count", (C,) int64, or
    # "image_frequency", (C,), images with the category over annotated images. The argument is None if they are unknown.
    statistics_keys: ClassVar[dict[str, str]] = {}
    # More keys below it, from which the schedule computes those.
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
        """L, the width of the classifier that this loss needs."""
        return self.num_classes + _BACKGROUND_LOGITS[self.background]

    @property
    def num_label_values(self) -> int:
        """Labels lie in [0, num_label_values): C + 1 with background, C without."""
        return self.num_classes + (self.background != "none")

    def initial_bias(self) -> Tensor | None:
        """The (L,) values that the classifier's bias starts from; None: 0, as it is."""
        return None

    @classmethod
    def config_arguments(cls, node: Any, statistics: Callable[[], Any] | None) -> dict[str, Any]:
        """Constructor arguments from the config node MODEL.ROI_BOX_HEAD.CLS_LOSS, ``background`` aside.

        Args:
            node: the config node.
            statistics: gives the training set's category statistics when called (it may read annotations,
                so call it only if the loss needs them); None where there are none. For most losses
                ``statistics_keys`` is enough.
        """
        return {argument: lookup(node, key) for argument, key in cls.config_keys.items()}

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weights: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The losses of one batch. In training mode this also updates the statistics that the loss keeps.

        Args:
            logits: (N, L) floating point. Half precision is computed in float32, under autocast too.
            labels: (N,) int64 in [0, C], C is background (in [0, C) with background "none").
            weights: (N,) >= 0; None is all 1.
            avg_factor: > 0, what the weighted sums are divided by: a number, or a tensor of shape (), whose value
                nothing waits for: below 1.2e-7, float32's epsilon, it is taken as that, so sums of 0 over a
                count of 0 are 0. Default: ``default_avg_factor``: how many proposals, background included, weigh
                > 0, at least 1. Of this process: a head in several processes gives the mean of theirs.

        Returns:
            Scalars named loss_cls*. No proposals or no foreground give zeros that keep the graph.

        Raises:
            ValueError: shapes or types do not fit; a label out of range or a negative weight (see ``check_inputs``).
        """
        self.check_width(logits)
        check_inputs(logits, labels, weights, avg_factor, self.num_label_values)
        with without_autocast(logits.device):
            logits = widen(logits)
            if weights is not None:
                weights = weights.to(logits.dtype)
            if avg_factor is None:
                avg_factor = self.default_avg_factor(labels, weights)
            elif isinstance(avg_factor, Tensor):
                avg_factor = avg_factor.to(logits.dtype).clamp(min=torch.finfo(torch.float32).eps)
            self._update(logits, labels, before_loss=True)
            losses = self.compute(logits, labels, weights, avg_factor)
            self._update(logits, labels, before_loss=False)
        return losses

    def set_iteration(self, index: int, count: int) -> None:
        """Told by a head that classifies every proposal ``count`` times in a training step: the next call is
        number ``index``, from 0. Without it every call is a step of its own."""

    def num_averaged(self, labels: Tensor, weights: Tensor | None) -> int | Tensor:
        """How many proposals have a positive weight. A method that averages over others overrides it."""
        return labels.numel() if weights is None else (weights > 0).sum()  # stays on the device

    def default_avg_factor(self, labels: Tensor, weights: Tensor | None) -> int | Tensor:
        """``num_averaged``, at least 1."""
        count = self.num_averaged(labels, weights)
        return count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None, avg_factor: float | Tensor
    ) -> dict[str, Tensor]:
        """The losses, in float32 or float64, without side effects. Arguments as checked by ``forward``."""
        raise NotImplementedError

    def update_statistics(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> None:
        """Count the batch; called in training only, without gradient, on every rank in every iteration."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Scores (N, C + 1), background last, for logits (N, L); (N, C) with background "none"."""
        raise NotImplementedError

    def check_width(self, logits: Tensor) -> None:
        """Raise ValueError unless logits are (N, L); the message says which last layer gives them."""
        if torch.jit.is_tracing() or (logits.dim() == 2 and logits.shape[1] == self.num_logits):
            return
        more = self.num_logits - self.num_classes
        raise ValueError(
            f"logits: expected shape (N, {self.num_logits}), found {tuple(logits.shape)}; {type(self).__name__} with "
            f'num_classes={self.num_classes} and background="{self.background}" needs a last layer of loss.num_logits '
            f"= C{f' + {more}' if more else ''} = {self.num_logits} outputs"
        )

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, background={self.background!r}"

    def _update(self, logits: Tensor, labels: Tensor, *, before_loss: bool) -> None:
        """Count the batch in training, on the side of the loss that ``updates_first`` says."""
        if self.training and before_loss == self.updates_first:
            with torch.no_grad():
                self.update_statistics(logits.detach(), labels)


def weighted_sum(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Σ_n weights_n losses_n, for losses (N,)."""
    return (losses if weights is None else losses * weights).sum()


def widen(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32; float32 and float64 as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def without_autocast(device: torch.device) -> AbstractContextManager:
    """A context in which nothing is rounded to half precision."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def lookup(node: Any, key: str) -> Any:
    """What ``node`` has at "A.B"."""
    for part in key.split("."):
        node = getattr(node, part)
    return node
