"""Fractal dimension of the positions of each category's objects (Alexandridis et al., CVPR 2025).

Shapes: M boxes, C categories.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.structures import BoxMode

from seesaw_d2.data.records.catalog import check_registered, load_dataset
from seesaw_d2.errors import DataError

_LARGEST_GRID = 64
_FEWEST_BOXES = 4


def occupied_cells(centres: np.ndarray, grid: int) -> int:
    """Return the number of cells of a ``grid`` x ``grid`` division of the image that contain a centre.

    Args:
        centres: (M, 2) x and y, divided by the image's width and height. Centres outside [0, 1) are in no cell.
        grid: >= 1. Cells are half-open: [i / grid, (i + 1) / grid).
    """
    starts = np.arange(grid + 1) * (
        1 / grid
    )  # multiples as in the reference, so that rounding at the borders is the same
    cells = np.searchsorted(starts, centres, side="right") - 1
    inside = ((cells >= 0) & (cells < grid) & (centres < 1)).all(axis=1)
    return len(np.unique(cells[inside] @ np.array([grid, 1])))


def fractal_dimension(centres: np.ndarray) -> float:
    """Return the box-counting dimension of the centres of a category, at least 1.

    It is the slope of the least-squares line of log N(G) over log G, where N is ``occupied_cells`` and G <= 64 are the
    grids with no more cells than centres. Fewer than 4 centres, or a slope below 1, give 1.

    Args:
        centres: (M, 2), see ``occupied_cells``.
    """
    if len(centres) < _FEWEST_BOXES:
        return 1.0
    grids = [grid for grid in range(1, _LARGEST_GRID + 1) if grid * grid <= len(centres)]
    counts = np.array([occupied_cells(centres, grid) for grid in grids])
    if not counts.all():  # all centres are outside, for which the reference fails
        return 1.0
    x, y = np.log(grids), np.log(counts)
    x = x - x.mean()
    return max(1.0, float(x @ (y - y.mean()) / (x @ x)))


def dataset_centres(dicts: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the box centres of all objects that are not crowds, (M, 2), and their categories, (M,)."""
    centres, categories = [], []
    for image in dicts:
        if not (image.get("width") and image.get("height")):
            name = image.get("file_name", image.get("image_id"))
            raise DataError(f"{name}: fractal dimensions need the image's width and height > 0, found none")
        for each in image.get("annotations", ()):
            if not each.get("iscrowd", 0):
                x0, y0, x1, y1 = BoxMode.convert(list(each["bbox"]), each["bbox_mode"], BoxMode.XYXY_ABS)
                centres.append(((x0 + (x1 - x0) / 2) / image["width"], (y0 + (y1 - y0) / 2) / image["height"]))
                categories.append(each["category_id"])
    return np.array(centres, np.float64).reshape(-1, 2), np.array(categories, np.int64)


def training_fractal_dimensions(cfg: CfgNode, num_classes: int) -> np.ndarray:
    """Return the fractal dimension of each category in DATASETS.TRAIN, (``num_classes``,).

    Raises:
        ConfigError: a data set is not registered.
        DataError: annotations cannot be read, or an image has no size.
    """
    found = []
    for name in cfg.DATASETS.TRAIN:
        check_registered(name, "DATASETS.TRAIN")
        found.append(dataset_centres(load_dataset(name)))
    centres, categories = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.array([fractal_dimension(centres[categories == index]) for index in range(num_classes)])
