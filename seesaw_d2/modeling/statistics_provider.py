"""Return statistics of the training data for models that are built from a config.

The modeling package must not import the data package. Instead, ``seesaw_d2/__init__.py`` passes functions of the data
package to ``provide_statistics``. The other functions of this module call these functions.
"""

from collections.abc import Callable
from typing import Any

_provided: dict[str, Callable[..., Any]] = {}


def provide_statistics(
    training_statistics: Callable[..., Any],
    training_frequency_groups: Callable[..., Any],
    names: Callable[..., Any],
    fractal_dimensions: Callable[..., Any],
) -> None:
    """Set the functions of the data package that the other functions of this module call.

    Args:
        training_statistics: called by ``training_statistics``.
        training_frequency_groups: called by ``training_frequency_groups``.
        names: called by ``provide_names``.
        fractal_dimensions: called by ``training_fractal_dimensions``.
    """
    _provided.update(statistics=training_statistics, groups=training_frequency_groups, names=names)
    _provided.update(fractal_dimensions=fractal_dimensions)


def provide_names(cfg) -> None:
    """Set the class names of the data sets in the config key DATASETS.REGISTER in Detectron2's metadata."""
    _provided["names"](cfg)


def training_statistics(cfg) -> Any:
    """Return the category statistics of DATASETS.TRAIN from ``seesaw_d2.data.training_statistics``."""
    return _provided["statistics"](cfg)


def training_frequency_groups(cfg, num_classes: int | None = None) -> Any:
    """Return the frequency group of each category of DATASETS.TRAIN, int (C,): 0 rare, 1 common, 2 frequent.

    The result comes from ``seesaw_d2.data.training_frequency_groups`` and is None if the groups are unknown.
    """
    return _provided["groups"](cfg, num_classes)


def training_fractal_dimensions(cfg, num_classes: int) -> Any:
    """Return the fractal dimension of each category of DATASETS.TRAIN, (C,), from ``seesaw_d2.data``."""
    return _provided["fractal_dimensions"](cfg, num_classes)
