"""Pass statistics of the training set, such as class counts, to the constructors of losses."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.losses.argument_checks import Description, InvalidArgument


class CategoryNumberError(ConfigError):
    """Raised if the training set has another number of categories than the model."""


def known_statistics(statistics: Callable[[], Any] | None) -> Any | None:
    """Return ``statistics()``, or None if ``statistics`` is None or cannot read the annotations of the training set.

    A loss without statistics supports only inference, so that inference does not need the training data. The error is
    ignored here, because the checks before a training report annotations that cannot be read.

    Raises:
        CategoryNumberError: the training set has another number of categories than the model.
    """
    try:
        return None if statistics is None else statistics()
    except CategoryNumberError:
        raise
    except SeesawError:
        return None


def checked_statistics(statistics: Callable[[], Any] | None, num_classes: int) -> Callable[[], Any] | None:
    """Return a function that returns ``statistics()`` and checks its number of categories.

    Args:
        statistics: function that returns an object with the statistics as attributes, or None (see ``build_loss``).
        num_classes: number C of categories of the model. If the statistics have another number, the returned function
            raises CategoryNumberError.

    Returns:
        a function, or None if ``statistics`` is None.
    """
    if statistics is None:
        return None

    def checked() -> Any:
        found = len((known := statistics()).instance_count)
        if found != num_classes:
            raise CategoryNumberError(
                f"DATASETS.TRAIN: expected {num_classes} categories, as in the model, found {found}. Set the model's "
                f"NUM_CLASSES (R-CNNs: MODEL.ROI_HEADS.NUM_CLASSES) to {found}. If Detectron2's metadata of a dataset "
                "lack thing_classes, the number of its categories is its largest class index plus 1. In this case, set "
                "thing_classes."
            )
        return known

    return checked


def statistics_arguments(statistics_keys: Mapping[str, str], statistics: Callable[[], Any] | None) -> dict[str, Any]:
    """Return those constructor arguments of a loss whose values are statistics of the training set.

    Args:
        statistics_keys: maps argument names to names of statistics, for example {"image_counts": "image_count"}. If
            empty, ``statistics`` is not called.
        statistics: function that returns an object with the statistics as attributes, or None.

    Returns:
        dict from argument name to value. If the statistics are unknown, all values are None.

    Raises:
        CategoryNumberError: the training set has another number of categories than the model.
    """
    known = known_statistics(statistics) if statistics_keys else None
    return {argument: None if known is None else _statistic(known, name) for argument, name in statistics_keys.items()}


def _statistic(known: Any, name: str) -> Any:
    if name == "image_frequency":
        return known.image_count / max(known.num_annotated_images, 1)
    return getattr(known, name)


def category_values(name: str, values: Any, num_classes: int, *, shares: bool = False) -> Tensor | None:
    """Convert one number for each category to a float64 tensor (C,). Return None if ``values`` is None.

    Args:
        name: name of the argument, for error messages.
        values: sequence or tensor of C finite numbers >= 0, or None.
        num_classes: number of categories C.
        shares: whether the numbers are shares, which must be in [0, 1]. If False, the numbers are counts, and a number
            between 0 and 1 is an error. Losses and calibrations clamp counts to at least 1, so that all shares would
            become 1.

    Raises:
        InvalidArgument: ``values`` has a wrong type or shape, or contains a number that is not in the valid range.
    """
    if values is None:
        return None
    expected = f"{num_classes} {'shares in [0, 1]' if shares else 'finite numbers >= 0'}, one for each category"
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.float64)
    else:
        try:
            values = torch.tensor(values, dtype=torch.float64, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            raise InvalidArgument(name, expected, values) from None
    if tuple(values.shape) != (num_classes,):
        found = f"{len(values)} numbers" if values.dim() == 1 else f"numbers of shape {tuple(values.shape)}"
        raise InvalidArgument(name, expected, Description(found))
    for index, value in enumerate(values.tolist()):
        if not 0 <= value < math.inf or (shares and value > 1):
            raise InvalidArgument(name, expected, Description(f"{value:g} for category {index}"))
        if not shares and 0 < value < 1:
            counts = f"{num_classes} counts, each 0 or >= 1, one for each category"
            advice = "Pass numbers of images or instances instead of their shares."
            raise InvalidArgument(name, counts, Description(f"{value:g} for category {index}"), advice)
    return values


def category_counts(name: str, counts: Any) -> Tensor:
    """Return ``category_values`` of counts whose length is the number of categories. ``counts`` must not be None."""
    found = category_values(name, counts, len(counts))
    assert found is not None
    return found


def not_given(name: str) -> InvalidArgument:
    """Return the error for training a loss whose constructor argument ``name``, a statistic of the data, is None."""
    advice = (
        "Pass one number for each category to train the loss. With None, the loss supports only inference. A model "
        "that is built from a config reads the numbers from DATASETS.TRAIN. Check that its datasets are registered "
        "and can be read."
    )
    return InvalidArgument(name, "statistics of the training set", None, advice)
