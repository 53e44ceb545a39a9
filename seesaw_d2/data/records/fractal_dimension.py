"""Compute the fractal dimension of a category from the box centers of its objects (Alexandridis et al., CVPR 2025).

Shapes: M is the number of boxes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.structures import BoxMode

from seesaw_d2.data.records.catalog import check_registered, load_dataset
from seesaw_d2.errors import DataError

# _LARGEST_GRID is the maximum number of grid cells per side. _FEWEST_BOXES is the minimum number of boxes in a
# category. For fewer boxes, ``fractal_dimension`` returns 1.
_LARGEST_GRID = 64
_FEWEST_BOXES = 4


def occupied_cells(centers: np.ndarray, grid: int) -> int:
    """Divide the image into ``grid`` x ``grid`` cells, and return the number of cells that contain a box center.

    Args:
        centers: (M, 2) x and y of M box centers, divided by the image's width and height. Centers outside [0, 1) are
            ignored.
        grid: number of cells per side, >= 1. Cell i covers the half-open interval [i / grid, (i + 1) / grid).
    """
    # Use i * (1 / grid), as the reference implementation does, because i / grid rounds differently.
    starts = np.arange(grid + 1) * (1 / grid)
    cells = np.searchsorted(starts, centers, side="right") - 1
    inside = ((cells >= 0) & (cells < grid) & (centers < 1)).all(axis=1)
    return len(np.unique(cells[inside] @ np.array([grid, 1])))


def fractal_dimension(centers: np.ndarray) -> float:
    """Return the box-counting dimension of the box centers of one category, clamped to at least 1.

    The dimension is the slope of the least-squares line through the points (log G, log N(G)). G is the number of cells
    per side, and N(G) is the number of cells with a box center. The line uses all G <= 64 with G² <= M, where M is the
    number of centers. For fewer than 4 centers, the dimension is 1.

    Args:
        centers: (M, 2) x and y, divided by the image's width and height.
    """
    if len(centers) < _FEWEST_BOXES:
        return 1.0
    grids = [grid for grid in range(1, _LARGEST_GRID + 1) if grid * grid <= len(centers)]
    counts = np.array([occupied_cells(centers, grid) for grid in grids])
    if not counts.all():  # All centers are outside the image. The reference implementation would compute log(0).
        return 1.0
    x, y = np.log(grids), np.log(counts)
    x = x - x.mean()
    return max(1.0, float(x @ (y - y.mean()) / (x @ x)))


def dataset_centers(dicts: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the box centers and category indices of all M objects that are not crowds.

    Returns:
        a pair of arrays: the centers (M, 2), which are x and y divided by the image's width and height, and the
        category indices (M,).

    Raises:
        DataError: an image has no width or height.
    """
    centers, categories = [], []
    for image in dicts:
        if not (image.get("width") and image.get("height")):
            name = image.get("file_name", image.get("image_id"))
            size = f"width {image.get('width')} and height {image.get('height')}"
            raise DataError(
                f"image {name}: expected a width and height > 0, found {size}. The computation of fractal dimensions "
                "divides box centers by the image size."
            )
        for each in image.get("annotations", ()):
            if not each.get("iscrowd", 0):
                x, y = _center(each["bbox"], each["bbox_mode"])
                centers.append((x / image["width"], y / image["height"]))
                categories.append(each["category_id"])
    return np.array(centers, np.float64).reshape(-1, 2), np.array(categories, np.int64)


def _center(box: Sequence[float], mode: BoxMode) -> tuple[float, float]:
    """Return the center (x, y) of a box in double precision.

    For boxes (x, y, width, height), the order of operations gives the same rounding as the reference implementation of
    fractal dimensions (Alexandridis et al., CVPR 2025).
    """
    if mode == BoxMode.XYWH_ABS:
        x, y, width, height = box
        return x + width / 2, y + height / 2
    # Convert an array instead of a list, because ``BoxMode.convert`` computes lists in single precision.
    x0, y0, x1, y1 = BoxMode.convert(np.array([box], np.float64), mode, BoxMode.XYXY_ABS)[0].tolist()
    return x0 + (x1 - x0) / 2, y0 + (y1 - y0) / 2


def training_fractal_dimensions(cfg: CfgNode, num_classes: int) -> np.ndarray:
    """Return the fractal dimension of each category's box centers in DATASETS.TRAIN, (num_classes,) float64.

    Raises:
        ConfigError: a dataset is not registered.
        DataError: an annotation file is missing or invalid, or an image has no width or height.
    """
    found = []
    for name in cfg.DATASETS.TRAIN:
        check_registered(name, "DATASETS.TRAIN")
        found.append(dataset_centers(load_dataset(name)))
    centers, categories = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.array([fractal_dimension(centers[categories == index]) for index in range(num_classes)])
