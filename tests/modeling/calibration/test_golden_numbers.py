"""Test that calibrations and fractal dimensions equal the numbers of the reference implementations."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode

from seesaw_d2.data.records.fractal_dimension import dataset_centers, fractal_dimension, occupied_cells
from seesaw_d2.losses import CrossEntropyLoss
from seesaw_d2.losses.link_functions import link_weights
from seesaw_d2.modeling.calibration import FRACAL, NorCal
from seesaw_d2.modeling.calibration.base import class_probabilities
from seesaw_d2.modeling.calibration.fracal import class_weights
from seesaw_d2.modeling.calibration.statistics import CalibrationStatistics
from tests import golden


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
        if key.endswith("exps_norenorm"):  # exp(z) instead of the probabilities
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


def test_a_model_in_half_precision_does_not_round_the_factors():
    calibration = NorCal(torch.tensor([3.0, 50, 7000]))
    expected = calibration.log_factors.clone()
    assert torch.equal(torch.nn.Sequential(calibration).bfloat16()[0].log_factors, expected)


@pytest.mark.parametrize("name", golden.names("fracal"))
def test_each_array_of_fracal(name):
    arrays = golden.load(name, "golden2")
    logits, loss = tensor(arrays["logits"]), CrossEntropyLoss(len(arrays["image_count"]), background="class")
    golden.assert_matches(loss.probabilities(logits), arrays["probs_in"], golden.EXACT)
    outputs = [key for key in arrays if key.startswith("softmax_")]
    assert len(outputs) >= 13
    for key in outputs:
        calibration = fracal_of(arrays, key)
        single = key.endswith("_float32")
        probs = loss.probabilities(logits.float() if single else logits)
        tolerance = golden.SINGLE if single else golden.EXACT
        golden.assert_matches(calibration(probs, "class"), arrays[key], tolerance)
    probs = tensor(arrays["logits_sigmoid"]).sigmoid()
    padded = torch.cat([probs, 1 - probs.amax(dim=1, keepdim=True)], dim=1)
    for key in ("sigmoid_base10_l1", "sigmoid_base10_l2"):
        actual = fracal_of(arrays, key)(padded, "implicit")
        golden.assert_matches(actual[:, :-1], arrays[key], golden.EXACT)


def fracal_of(arrays, key: str) -> FRACAL:
    """Return the calibration of an array such as "softmax_base10_obj_l2"."""
    link, frequency, lambda_ = re.fullmatch(r"[a-z]+_([a-z0-9]+?)(_obj)?_l([0-9.]+)(?:_float32)?", key).groups()
    images, instances, dimensions = (
        tensor(arrays[each]) for each in ("image_count", "instance_count", "fractal_dimension")
    )
    statistics = CalibrationStatistics(len(images), images, instances, int(arrays["n_images"]), lambda: dimensions)
    return FRACAL.from_statistics(
        statistics, lambda_=float(lambda_), link=link, frequency="instances" if frequency else "images"
    )


def test_smooth_weights_of_instances():
    """Compare with the reference's formula, ln((N + 1) / (n + 1)) + 2 - ln((1000 C + 1) / 1001). No array has it."""
    counts = torch.tensor([1.0, 20, 300], dtype=torch.float64)
    expected = (322 / (counts + 1)).log() + 2 - math.log(3001 / 1001)
    golden.assert_matches(class_weights(counts, 321, "smooth", "instances"), expected, golden.EXACT)


@pytest.mark.parametrize("name", golden.names("fracal"))
def test_class_weights_of_fracal(name):
    arrays = golden.load(name, "golden2")
    totals = {"images": float(arrays["n_images"]), "instances": float(arrays["instance_count"].sum())}
    counts = {"images": tensor(arrays["image_count"]), "instances": tensor(arrays["instance_count"])}
    for key in (each for each in arrays if each.startswith(("link_", "logit_weight_"))):
        frequency = "instances" if key.endswith("_obj") else "images"
        link = key.removesuffix("_obj").rpartition("_")[2]
        if key.startswith("link_"):
            weights = link_weights(link, counts[frequency], totals[frequency])
        else:
            weights = class_weights(counts[frequency], totals[frequency], link, frequency)
            weights = torch.cat([weights, torch.zeros(1)])
        golden.assert_matches(weights, arrays[key], golden.EXACT)


@pytest.fixture(scope="module")
def boxes():
    """Return the arrays of the boxes, with their centers and categories from dataset dicts."""
    arrays = golden.load("fractal_dimension_8cat", "golden2")
    width, height = arrays["image_size_wh"].tolist()
    dicts = [{"width": width, "height": height, "annotations": []} for _ in range(int(arrays["n_images"]))]
    for image, category, box in zip(arrays["image_id"], arrays["category_id"], arrays["bbox_xywh"], strict=True):
        annotation = {"bbox": box.tolist(), "bbox_mode": BoxMode.XYWH_ABS, "category_id": int(category) - 1}
        dicts[int(image) - 1]["annotations"].append(annotation)
    return arrays, *dataset_centers(dicts)


def test_box_centers(boxes):
    arrays, centers, categories = boxes
    expected = np.stack([arrays["stats_category"], arrays["stats_cx"], arrays["stats_cy"]], axis=1)
    found = np.column_stack([categories + 1, centers])
    order = [np.lexsort(each.T) for each in (found, expected)]
    np.testing.assert_allclose(found[order[0]], expected[order[1]], **golden.EXACT)


def test_fractal_dimensions(boxes):
    arrays, centers, categories = boxes
    for index, dimension in enumerate(arrays["D_box_dim"]):
        of_category = centers[categories == index]
        cells = [occupied_cells(of_category, grid) for grid in range(1, 65)]
        assert cells == arrays["occupied_cells"][:, index].tolist()
        assert fractal_dimension(of_category) == pytest.approx(dimension, abs=1e-7)


def test_the_other_dimensions(boxes):
    """Compare information dimensions, a fit of ln(G^2 / N), and smooth dimensions, a fit of ln(G^2 / (N + 1))."""
    arrays, centers, categories = boxes
    for index, count in enumerate(arrays["instance_count"]):
        grids = np.array([grid for grid in range(1, 65) if grid * grid <= count])
        if count < 4:
            continue
        cells = np.array([occupied_cells(centers[categories == index], grid) for grid in grids])
        for key, added in (("D_info_dim", 0), ("D_smooth_info_dim", 1)):
            slope = np.polyfit(np.log(grids), np.log(grids**2 / (cells + added)), 1)[0]
            assert arrays[key][index] == pytest.approx(slope, abs=1e-7), (index, key)
