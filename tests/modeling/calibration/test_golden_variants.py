"""Variants of the reference implementations: each array of golden2 for FRACAL is reproduced.

The package computes the variants that it has, a literal reference the others.
"""

import numpy as np
import pytest
import torch

from seesaw_d2.data.records.fractal_dimension import occupied_cells
from seesaw_d2.modeling.calibration import scale_categories
from seesaw_d2.modeling.calibration.fracal import class_weights, fracal
from tests import golden
from tests.reference.link_functions import fracal_weights, link


def tensor(values) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values)).double()


def frequencies(arrays, name):
    """Return counts and total of a link's name, such as "raw" (images) or "raw_obj" (instances)."""
    if name.endswith("_obj"):
        return arrays["instance_count"].tolist(), int(arrays["instance_count"].sum())
    return arrays["image_count"].tolist(), int(arrays["n_images"])


@pytest.mark.parametrize("name", golden.names("fracal"))
def test_each_array_of_fracal(name):
    arrays = golden.load(name, "golden2")
    probs, dimensions = tensor(arrays["logits"]).softmax(dim=1), tensor(arrays["fractal_dimension"])
    for key in (key for key in arrays if key.startswith("link_")):
        of = key.removeprefix("link_")
        counts, total = frequencies(arrays, of)
        golden.assert_matches(link(of.removesuffix("_obj"), counts, total), arrays[key], golden.EXACT)
    for key in (key for key in arrays if key.startswith("logit_weight_")):
        of = key.removeprefix("logit_weight_")
        variant, (counts, total) = of.removesuffix("_obj"), frequencies(arrays, of)
        weights = tensor(fracal_weights(variant, counts, total))
        golden.assert_matches(weights, arrays[key][:-1], golden.EXACT)
        assert arrays[key][-1] == 0
        golden.assert_matches(class_weights(tensor(counts), total, variant), weights, golden.EXACT)
        actual = scale_categories(probs, weights - 2 * dimensions.log(), keep_background=False)
        golden.assert_matches(actual, arrays[f"softmax_{of}_l2"], golden.EXACT)
    only_dimensions = scale_categories(probs, -2 * dimensions.log(), keep_background=False)
    golden.assert_matches(only_dimensions, arrays["softmax_none_l2"], golden.EXACT)
    golden.assert_matches(probs, arrays["probs_in"], golden.EXACT)
    counts, total = frequencies(arrays, "base10")
    single = fracal(class_weights(tensor(counts), total), dimensions, 2).float()
    actual = scale_categories(torch.from_numpy(arrays["logits"]).softmax(dim=1), single, keep_background=False)
    golden.assert_matches(actual, arrays["softmax_base10_l2_float32"], golden.SINGLE)


def test_the_other_dimensions():
    """Information dimensions fit ln(G^2 / N), smooth ones ln(G^2 / (N + 1)), on the same cells."""
    arrays = golden.load("fractal_dimension_8cat", "golden2")
    x, y, width, height = arrays["bbox_xywh"].T
    centres = np.stack([x + width / 2, y + height / 2], axis=1) / arrays["image_size_wh"]
    for index, count in enumerate(arrays["instance_count"]):
        of_category = centres[arrays["category_id"] == index + 1]
        assert len(of_category) == count
        grids = np.array([grid for grid in range(1, 65) if grid * grid <= count])
        if count < 4:
            continue
        cells = np.array([occupied_cells(of_category, grid) for grid in grids])
        for key, added in (("D_info_dim", 0), ("D_smooth_info_dim", 1)):
            slope = np.polyfit(np.log(grids), np.log(grids**2 / (cells + added)), 1)[0]
            assert arrays[key][index] == pytest.approx(slope, abs=1e-7), (index, key)
