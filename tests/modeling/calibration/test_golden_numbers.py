"""Calibrations and fractal dimensions equal the numbers of the reference implementations."""

import numpy as np
import pytest
import torch

from seesaw_d2.data.records.fractal_dimension import fractal_dimension, occupied_cells
from seesaw_d2.modeling.calibration import scale_categories, scale_odds
from seesaw_d2.modeling.calibration.fracal import class_weights, fracal, fracal_sigmoid
from seesaw_d2.modeling.calibration.norcal import effective_numbers, norcal
from tests import golden

VARIANTS = ("base10", "base2", "raw", "prob", "normit", "gombit")


@pytest.fixture(params=[name.removeprefix("norcal_") for name in golden.names("norcal")])
def size(request):
    return request.param


def tensor(values) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values)).double()


@pytest.mark.parametrize("gamma", [0.4, 0.6, 1.0])
def test_norcal(size, gamma):
    found = golden.load(f"norcal_{size}", "golden2")
    factors = norcal(tensor(found["image_counts"]), gamma)
    actual = scale_categories(tensor(found["logits"]).softmax(dim=1), factors, keep_background=False)
    golden.assert_matches(actual, found[f"out_gamma{gamma}_exps"], golden.EXACT)


@pytest.mark.parametrize("beta", [0.9, 0.999])
def test_norcal_with_effective_numbers(size, beta):
    found = golden.load(f"norcal_{size}", "golden2")
    factors = effective_numbers(tensor(found["image_counts"]), beta)
    actual = scale_categories(tensor(found["logits"]).softmax(dim=1), factors, keep_background=False)
    golden.assert_matches(actual, found[f"out_cb{beta}_exps"], golden.EXACT)


@pytest.mark.parametrize("name", [*VARIANTS, "base10_obj", "raw_obj"])
def test_fracal_with_softmax(size, name):
    found = golden.load(f"fracal_{size}", "golden2")
    shares, dimensions = shares_of(found, name), tensor(found["fractal_dimension"])
    variant = name.removesuffix("_obj")
    golden.assert_matches(class_weights(shares, variant), found[f"logit_weight_{name}"][:-1], golden.EXACT)
    probs = tensor(found["logits"]).softmax(dim=1)
    for power in (0, 1, 2) if name == "base10" else (2,):
        actual = scale_categories(probs, fracal(shares, dimensions, power, variant), keep_background=False)
        golden.assert_matches(actual, found[f"softmax_{name}_l{power}"], golden.EXACT)


@pytest.mark.parametrize("power", [1, 2])
def test_fracal_with_sigmoids(size, power):
    found = golden.load(f"fracal_{size}", "golden2")
    shift = fracal_sigmoid(shares_of(found, "base10"), tensor(found["fractal_dimension"]), power)
    probs = tensor(found["logits_sigmoid"]).sigmoid()
    golden.assert_matches(probs * scale_odds(probs, shift), found[f"sigmoid_base10_l{power}"], golden.EXACT)


def shares_of(found, name: str) -> torch.Tensor:
    if name.endswith("_obj"):
        return tensor(found["instance_count"]) / found["instance_count"].sum()
    return tensor(found["image_count"]) / float(found["n_images"])


def test_fractal_dimensions():
    found = golden.load("fractal_dimension_8cat", "golden2")
    x, y, width, height = found["bbox_xywh"].T
    centres = np.stack([x + width / 2, y + height / 2], axis=1) / found["image_size_wh"]
    for index, dimension in enumerate(found["D_box_dim"]):
        of_category = centres[found["category_id"] == index + 1]
        cells = [occupied_cells(of_category, grid) for grid in range(1, 65)]
        assert cells == found["occupied_cells"][:, index].tolist()
        assert fractal_dimension(of_category) == pytest.approx(dimension, abs=1e-7)
