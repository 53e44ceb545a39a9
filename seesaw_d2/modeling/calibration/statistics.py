"""Read the statistics of the training set that calibrations need, from the annotations or from a file."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.losses.argument_checks import InvalidArgument
from seesaw_d2.losses.category_statistics import category_values
from seesaw_d2.losses.recorded_counts import read_recorded_counts
from seesaw_d2.modeling.calibration.base import Calibration
from seesaw_d2.modeling.statistics_provider import training_fractal_dimensions, training_statistics
from seesaw_d2.utils.category_names import Categories
from seesaw_d2.utils.text_tables import read_results_table, read_rows

_NODE = "MODEL.ROI_HEADS.CALIBRATION"
# Columns of the CSV file that MODEL.ROI_HEADS.CALIBRATION.COUNTS can name. Only calibrations with ``needs_dimensions``,
# such as FRACAL, need the column fractal_dimension. An additional column "name" can contain the category names.
COLUMNS = ("category_id", "image_count", "instance_count", "fractal_dimension")


@dataclass(frozen=True)
class CalibrationStatistics:
    """Statistics of the training set that a calibration needs.

    Attributes:
        num_classes: number of categories C.
        image_count: (C,) number of images that contain each category, or None if the calibration needs no counts.
        instance_count: (C,) number of instances of each category, or None if the calibration needs no counts.
        num_images: number of images, or 0 if unknown.
        fractal_dimensions: function that returns the fractal dimension of each category, (C,).
    """

    num_classes: int
    image_count: Tensor | None
    instance_count: Tensor | None
    num_images: int
    fractal_dimensions: Callable[[], Tensor]


def calibration_statistics(
    cfg: Any, calibration: type[Calibration], num_classes: int, stage: int = 0, num_stages: int = 1
) -> CalibrationStatistics:
    """Return the statistics of the training data that a calibration needs.

    MODEL.ROI_HEADS.CALIBRATION.COUNTS selects the source: the training dataset, a JSON file or a CSV file.

    Args:
        cfg: a config with this project's keys.
        calibration: class of the calibration.
        num_classes: number of categories C.
        stage, num_stages: index of the cascade stage and number of stages. A JSON file can contain different counts for
            each stage.

    Raises:
        ConfigError, DataError: the annotations or the file of counts cannot be read, or do not have C categories.
    """

    @functools.cache
    def dimensions() -> Tensor:
        return torch.as_tensor(training_fractal_dimensions(cfg, num_classes))

    source = cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS
    if not calibration.needs_counts:
        return CalibrationStatistics(num_classes, None, None, 0, dimensions)
    if source.endswith(".csv"):
        return _from_table(source, calibration, num_classes)
    if source != "dataset":
        if calibration.needs_dimensions:
            raise ConfigError(
                f'{_NODE}.COUNTS: expected "dataset" or a CSV file with the columns {", ".join(COLUMNS)}, found '
                f"{source!r}. {calibration.__name__} needs the fractal dimensions of the categories. "
                "tools/analyze_dataset.py --statistics writes such a file."
            )
        counts = torch.tensor(read_recorded_counts(source).of_stage(stage, num_stages, num_classes)[:num_classes])
        return CalibrationStatistics(num_classes, counts, counts, 0, dimensions)
    try:
        found = training_statistics(cfg)
    except SeesawError as error:
        raise ConfigError(
            f"{_NODE}.COUNTS: cannot read the annotations of DATASETS.TRAIN. Set this key to the path of a file with "
            f"class counts, or correct this error: {error}"
        ) from error
    if len(found.image_count) != num_classes:
        raise ConfigError(
            f"{_NODE}.COUNTS: expected {num_classes} categories in DATASETS.TRAIN, as in the model, found "
            f"{len(found.image_count)} categories"
        )
    images = category_values("image_count", found.image_count, num_classes)
    instances = category_values("instance_count", found.instance_count, num_classes)
    return CalibrationStatistics(num_classes, images, instances, found.num_images, dimensions)


def recorded_categories(source: str) -> Categories | None:
    """Return the category names in a JSON or CSV file of class counts, or None if it contains no names.

    ``source`` is the path, a value of MODEL.ROI_HEADS.CALIBRATION.COUNTS.

    Raises:
        ConfigError, DataError: the file cannot be read or has a wrong format.
    """
    if not source.endswith(".csv"):
        return read_recorded_counts(source).categories
    rows = read_rows(source, ("category_id",))
    if not rows or "name" not in rows[0][1]:
        return None
    table = read_results_table(source, ("name",), ("category_id",))
    return Categories(tuple(row["name"] for row in sorted(table, key=lambda row: row["category_id"])), source)


def _from_table(path: str, calibration: type[Calibration], num_classes: int) -> CalibrationStatistics:
    """Return the statistics in a CSV file with one row per category. Class i is row i after sorting by category_id.

    ``calibration`` determines which columns are required. ``num_classes`` is the number of categories of the model.

    Raises:
        ConfigError: the file does not have ``num_classes`` different categories, a count is between 0 and 1, or a
            fractal dimension is not in [1, 2].
    """
    columns = COLUMNS if calibration.needs_dimensions else COLUMNS[:-1]
    rows = sorted(read_results_table(path, (), columns), key=lambda row: row["category_id"])
    ids, *values = (np.array([row[name] for row in rows], np.float64) for name in columns)
    if len(set(ids)) != num_classes or len(rows) != num_classes:
        raise ConfigError(
            f"{_NODE}.COUNTS: {path}: expected {num_classes} rows with different values of category_id, one for each "
            f"category of the model, found {len(rows)} rows with {len(set(ids))} different values"
        )
    images, instances, *dimensions = map(torch.from_numpy, values)
    try:
        for name, counts in (("image_count", images), ("instance_count", instances)):
            category_values(name, counts, num_classes)
    except InvalidArgument as error:
        raise ConfigError(f"{_NODE}.COUNTS: {path}: {error}") from error
    if dimensions and not bool(((dimensions[0] >= 1) & (dimensions[0] <= 2)).all()):
        found = f"values from {dimensions[0].min():g} to {dimensions[0].max():g}"
        raise ConfigError(f"{_NODE}.COUNTS: {path}: fractal_dimension: expected numbers in [1, 2], found {found}")
    return CalibrationStatistics(num_classes, images, instances, 0, lambda: dimensions[0])
