"""Calibrations and fractal dimensions equal the numbers of the reference implementations."""

from typing import Any

import numpy as np
import pytest
import torch

from seesaw_d2.data.records.fractal_dimension import fractal_dimension, occupied_cells
from seesaw_d2.losses import CrossEntropyLoss
from seesaw_d2.losses.link_functions import LINKS
from seesaw_d2.modeling.calibration import NorCal, scale_categories, scale_odds
from seesaw_d2.modeling.calibration.base import class_probabilities
from seesaw_d2.modeling.calibration.fracal import class_weights, fracal, fracal_sigmoid
from tests import golden


@pytest.fixture(params=[name.removeprefix("fracal_") for name in golden.names("fracal")])
def size(request):
    return request.param


def tensor(values) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values)).double()


@pytest.mark.parametrize("name", golden.names("norcal"))
def test_each_array_of_norcal(name):
    arrays = golden.load(name, "golden2")
    logits, loss = tensor(arrays["logits"]), CrossEntropyLoss(arrays["logits"].shape[1] - 1, background="class")
    outputs = [key for key in arrays if key.startswith("out_")]
    assert len(outputs) >= 7 * len(arrays["gammas"]) + 2
    for key in outputs:
        calibration = NorCal(tensor(arrays["image_counts"]), **norcal_arguments(key))
        actual = class_probabilities(logits, loss, calibration, torch.nn.Linear(1, 1))
        if key.endswith("exps_norenorm"):  # exp(z) in place of the probabilities
            actual = actual * logits.exp().sum(dim=1, keepdim=True)
        golden.assert_matches(actual, arrays[key], golden.EXACT)
    golden.assert_matches(loss.probabilities(logits), arrays["probs_in"], golden.EXACT)


def norcal_arguments(key: str) -> dict[str, Any]:
    """Return the arguments of NorCal for an array such as "out_gamma0.4_logits_norenorm" or "out_cb0.9_exps"."""
    kind, _, mode = key.removeprefix("out_").partition("_")
    if kind.startswith("cb"):
        return {"factor": "effective_number", "beta": float(kind.removeprefix("cb"))}
    scaled = "logits" if mode.startswith("logits") else "probabilities"
    return {"gamma": float(kind.removeprefix("gamma")), "scaled": scaled, "normalize": not mode.endswith("norenorm")}


@pytest.mark.parametrize("name", [*LINKS, "base10_obj", "raw_obj"])
def test_fracal_with_softmax(size, name):
    found = golden.load(f"fracal_{size}", "golden2")
    weights, dimensions = weights_of(found, name), tensor(found["fractal_dimension"])
    golden.assert_matches(weights, found[f"logit_weight_{name}"][:-1], golden.EXACT)
    probs = tensor(found["logits"]).softmax(dim=1)
    for power in (0, 1, 2) if name == "base10" else (2,):
        actual = scale_categories(probs, fracal(weights, dimensions, power), keep_background=False)
        golden.assert_matches(actual, found[f"softmax_{name}_l{power}"], golden.EXACT)


@pytest.mark.parametrize("power", [1, 2])
def test_fracal_with_sigmoids(size, power):
    found = golden.load(f"fracal_{size}", "golden2")
    shift = fracal_sigmoid(weights_of(found, "base10"), tensor(found["fractal_dimension"]), power)
    probs = tensor(found["logits_sigmoid"]).sigmoid()
    golden.assert_matches(probs * scale_odds(probs, shift), found[f"sigmoid_base10_l{power}"], golden.EXACT)


def weights_of(found, name: str) -> torch.Tensor:
    if name.endswith("_obj"):
        return class_weights(tensor(found["instance_count"]), found["instance_count"].sum(), name.removesuffix("_obj"))
    return class_weights(tensor(found["image_count"]), float(found["n_images"]), name)


def test_fractal_dimensions():
    found = golden.load("fractal_dimension_8cat", "golden2")
    x, y, width, height = found["bbox_xywh"].T
    centres = np.stack([x + width / 2, y + height / 2], axis=1) / found["image_size_wh"]
    for index, dimension in enumerate(found["D_box_dim"]):
        of_category = centres[found["category_id"] == index + 1]
        cells = [occupied_cells(of_category, grid) for grid in range(1, 65)]
        assert cells == found["occupied_cells"][:, index].tolist()
        assert fractal_dimension(of_category) == pytest.approx(dimension, abs=1e-7)
