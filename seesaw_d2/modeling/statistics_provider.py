"""Statistics of the training data for models that are built from a config.

The modeling package must not import the data package. Instead, ``seesaw_d2/__init__.py`` passes functions of the data
package to ``provide_statistics``, and the other functions of this module call them.
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
    """Set the functions of the data package that compute statistics of the training data."""
    _provided.update(statistics=training_statistics, groups=training_frequency_groups, names=names)
    _provided.update(fractal_dimensions=fractal_dimensions)


def provide_names(cfg) -> None:
    """Set the class names of DATASETS.REGISTER in the metadata, as ``seesaw_d2.data.provide_names`` does."""
    _provided["names"](cfg)


def training_statistics(cfg) -> Any:
    """Return the category statistics of DATASETS.TRAIN, as ``seesaw_d2.data.training_statistics`` does."""
    return _provided["statistics"](cfg)


def training_frequency_groups(cfg, num_classes: int | None = None) -> Any:
    """Return the frequency groups of DATASETS.TRAIN, as ``seesaw_d2.data.training_frequency_groups`` does."""
    return _provided["groups"](cfg, num_classes)


def training_fractal_dimensions(cfg, num_classes: int) -> Any:
    """Return the fractal dimension of each category in DATASETS.TRAIN, from ``data.records.fractal_dimension``."""
    return _provided["fractal_dimensions"](cfg, num_classes)
