"""Check the arguments and the results of losses, and define the error for invalid constructor arguments.

Shapes: N proposals, L classifier logits.
"""

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from seesaw_d2.errors import SeesawError


class Description(str):
    """String that describes an invalid value. Its ``repr`` has no quotes, so error messages show it without quotes."""

    def __repr__(self) -> str:
        return str(self)


class InvalidArgument(SeesawError):
    """Error for an invalid constructor argument.

    ``build_loss`` converts this error to a ConfigError that names the config key.

    Args:
        name: name of the argument.
        expected: description of the valid values.
        found: the invalid value, or a ``Description`` of this value.
        advice: sentences with the reason and the remedy, or "".
    """

    def __init__(self, name: str, expected: str, found: Any, advice: str = ""):
        self.name, self.expected, self.found = name, expected, found
        self.problem = f"expected {expected}, found {found!r}{f'. {advice}' if advice else ''}"
        super().__init__(f"{name}: {self.problem}")


def check_number(name: str, value: float, expected: str, accepts: Callable[[float], bool]) -> float:
    """Return ``value`` as a float. Raise InvalidArgument if it is not finite or ``accepts`` returns False for it.

    The message contains ``name`` and ``expected``, a description of the valid values such as "a number >= 0".
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidArgument(name, expected, value) from None
    if math.isinf(number):
        raise InvalidArgument(name, expected.replace("number", "finite number"), value)
    if math.isnan(number) or not accepts(number):
        raise InvalidArgument(name, expected, value)
    return number


def check_integer(name: str, value: int, minimum: int) -> int:
    """Return the argument ``name`` as an int. Raise InvalidArgument unless it is an integer >= ``minimum``."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < minimum:
        raise InvalidArgument(name, f"an integer >= {minimum}", value)
    return number


def check_inputs(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None,
    avg_factor: Any,
    num_label_values: int,
    ignore_index: int | None = None,
) -> None:
    """Raise ValueError if an argument of ``ClassificationLoss.forward`` has a wrong shape, dtype or value.

    Shapes and dtypes are checked on every device. Values are checked only on the CPU and outside of compiled models.
    On another device, reading values would synchronize host and device. In a compiled model, reading values would break
    the graph.

    Args:
        logits, labels, weights, avg_factor, ignore_index: arguments of ``ClassificationLoss.forward``.
        num_label_values: labels must be in [0, ``num_label_values``), except labels equal to ``ignore_index``.
    """
    if not logits.is_floating_point():
        raise ValueError(f"logits: expected a floating-point dtype, found {logits.dtype}")
    for name, values in (("labels", labels), ("weights", weights)):
        expected = (*logits.shape[:1], *logits.shape[2:])
        if values is not None and tuple(values.shape) != expected:
            found = tuple(values.shape)
            shape = tuple(logits.shape)
            raise ValueError(f"{name}: expected shape {expected} for logits of shape {shape}, found {found}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels: expected dtype torch.int64, found {labels.dtype}. Pass labels.long().")
    _check_avg_factor(avg_factor)
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():
        labels = labels if ignore_index is None else labels[labels != ignore_index]
        _check_values(labels, weights, num_label_values)


def check_losses(losses: Any, function: str, *, maps: bool = False) -> None:
    """Raise ValueError unless ``losses`` is a dict of scalar tensors whose names begin with loss_cls.

    Args:
        losses: the value to check.
        function: name of the function that returned ``losses``, for the error message.
        maps: whether the losses are those of logit maps, which must be a single loss "loss_cls".
    """
    expected = f'{function}: expected a dict of scalar tensors whose names begin with "loss_cls", found'
    if not isinstance(losses, dict) or not losses:
        raise ValueError(f"{expected} {losses if isinstance(losses, dict) else type(losses).__name__}")
    for name, value in losses.items():
        if not isinstance(name, str) or not name.startswith("loss_cls"):
            raise ValueError(f"{expected} the name {name!r}")
        if not isinstance(value, Tensor) or value.dim():
            found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{expected} {found} for {name!r}")
    if maps and list(losses) != ["loss_cls"]:
        raise ValueError(f'{function}: expected the single loss "loss_cls" for logit maps, found {", ".join(losses)}')


def check_objects(objects: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless ``objects`` is an int64 tensor with the shape (N,) of ``labels`` and values in [0, N).

    ``objects`` contains the index of the ground-truth object that each of N proposals matches. The values are checked
    only on the CPU and outside of compiled models, because reading values of a GPU would synchronize host and device.
    """
    if objects.dtype != torch.int64 or objects.shape != labels.shape:
        expected = f"a torch.int64 tensor of shape {tuple(labels.shape)}, the shape of labels"
        raise ValueError(f"objects: expected {expected}, found {objects.dtype} of shape {tuple(objects.shape)}")
    if objects.device.type == "cpu" and not torch.compiler.is_compiling() and objects.numel():
        low, high = (int(value) for value in objects.aminmax())
        if low < 0 or high >= len(labels):
            raise ValueError(
                f"objects: expected indices of ground-truth objects from 0 to {len(labels) - 1}, found values "
                f"from {low} to {high}"
            )


def object_labels(labels: Tensor, num_classes: int, first: int = 0) -> Tensor:
    """Convert labels in [``first``, ``first`` + C) of ground-truth objects to class indices in [0, C).

    Call this function before background proposals get the label C. After that, the invalid label C of an object could
    be mistaken for background.

    Args:
        labels: int64, labels of the ground-truth objects, in any shape.
        num_classes: number of categories C.
        first: label of the first category, for example 1 if the labels start at 1.

    Raises:
        ValueError: a label is not in [``first``, ``first`` + C). On a GPU and in compiled models, the result contains
            an invalid index instead, because reading the labels would synchronize host and device.
    """
    if labels.device.type == "cpu" and not torch.compiler.is_compiling() and labels.numel():
        low, high = (int(value) for value in labels.aminmax())
        if low < first or high >= first + num_classes:
            raise ValueError(
                f"labels: expected values from {first} to {first + num_classes - 1}, found values from {low} to "
                f"{high}. Check that num_classes of the loss equals the number of categories in the data."
            )
    indices = labels - first
    return torch.where(indices < num_classes, indices, indices + 1)


def _check_avg_factor(avg_factor: Any) -> None:
    if avg_factor is None:
        return
    if isinstance(avg_factor, Tensor):
        if avg_factor.dim():
            found = tuple(avg_factor.shape)
            raise ValueError(f"avg_factor: expected a number or a tensor of shape (), found a tensor of shape {found}")
    elif not isinstance(avg_factor, Real) or not 0 < avg_factor < math.inf:  # type: ignore[operator]
        raise ValueError(f"avg_factor: expected a finite number > 0, found {avg_factor!r}")


def _check_values(labels: Tensor, weights: Tensor | None, num_label_values: int) -> None:
    if labels.numel() == 0:
        return
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= num_label_values:
        raise ValueError(
            f"labels: expected values from 0 to {num_label_values - 1}, found values from {low} to {high}. "
            "Check that num_classes of the loss equals the number of categories in the data."
        )
    if weights is not None and weights.device.type == "cpu" and not bool((weights >= 0).all()):
        raise ValueError(f"weights: expected values >= 0, found a minimum of {weights.min():g}")
