"""Return statistics of the training data for models that are built from a config.

The package ``seesaw_d2.modeling`` must not import the package ``seesaw_d2.data``. Instead, ``seesaw_d2/__init__.py``
passes functions of the data package to ``provide_statistics``. The other functions of this module call these functions.
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
    """Set the functions of the package ``seesaw_d2.data`` that the other functions of this module call.

    The modeling package must not import the data package.

    Args:
        training_statistics: returns the class counts of DATASETS.TRAIN for a config.
        training_frequency_groups: returns the frequency groups for a config and a number of categories.
        names: sets class names in Detectron2's metadata for a config.
        fractal_dimensions: returns the fractal dimensions for a config and a number of categories.
    """
    _provided.update(statistics=training_statistics, groups=training_frequency_groups, names=names)
    _provided.update(fractal_dimensions=fractal_dimensions)


def provide_names(cfg) -> None:
    """Set the class names of the datasets that DATASETS.REGISTER lists, in Detectron2's metadata."""
    _provided["names"](cfg)


def training_statistics(cfg) -> Any:
    """Return the statistics of DATASETS.TRAIN, such as the numbers of images and instances of each category.

    The result comes from ``seesaw_d2.data.training_statistics``.
    """
    return _provided["statistics"](cfg)


def training_frequency_groups(cfg, num_classes: int | None = None) -> Any:
    """Return the frequency group of each of C categories in DATASETS.TRAIN, int (C,): 0 rare, 1 common, 2 frequent.

    ``seesaw_d2.data.training_frequency_groups`` computes the groups. Return None if they are unknown. C is
    ``num_classes``, by default MODEL.ROI_HEADS.NUM_CLASSES.
    """
    return _provided["groups"](cfg, num_classes)


def training_fractal_dimensions(cfg, num_classes: int) -> Any:
    """Return the fractal dimension of the box centers of each category in DATASETS.TRAIN, (num_classes,).

    ``seesaw_d2.data`` computes the fractal dimensions.
    """
    return _provided["fractal_dimensions"](cfg, num_classes)
