"""Test the fractal dimensions of known shapes, and of the annotations of a dataset."""

import numpy as np
import pytest
from detectron2.structures import BoxMode

from seesaw_d2.data.records.fractal_dimension import dataset_centers, fractal_dimension
from seesaw_d2.errors import DataError


def test_a_full_grid_has_two_dimensions_and_a_line_one():
    ticks = (np.arange(64) + 0.5) / 64
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    assert fractal_dimension(grid) == pytest.approx(2, abs=0.01)
    assert fractal_dimension(np.stack([ticks, ticks], axis=1)) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("centers", [np.full((50, 2), 0.5), np.eye(3, 2), np.full((9, 2), 1.5)])
def test_points_too_few_and_outside_have_one(centers):
    assert fractal_dimension(centers) == 1


def test_centers_are_relative_to_the_image_without_crowds():
    objects = [
        {"bbox": [10, 20, 20, 40], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 3},
        {"bbox": [0, 0, 100, 50], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 1},
        {"bbox": [0, 0, 10, 10], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 2, "iscrowd": 1},
    ]
    centers, categories = dataset_centers([{"width": 100, "height": 200, "annotations": objects}])
    assert centers.tolist() == [[0.2, 0.2], [0.5, 0.125]]
    assert categories.tolist() == [3, 1]


@pytest.mark.parametrize("mode", [BoxMode.XYWH_ABS, BoxMode.XYXY_ABS])
def test_centers_have_double_precision(mode):
    """Test that centers are in double precision. Single precision would move centers across borders of cells."""
    box = [0.0, 0.0, 0.6, 0.2]
    objects = [{"bbox": box, "bbox_mode": mode, "category_id": 0}]
    centers, _ = dataset_centers([{"width": 1, "height": 1, "annotations": objects}])
    assert centers.tolist() == [[0.3, 0.1]]


def test_an_image_without_size():
    with pytest.raises(DataError, match=r"a\.jpg"):
        dataset_centers([{"file_name": "a.jpg", "annotations": []}])
