"""Test calibrations from CSV files: published files of LVIS v1, and files of tools/analyze_dataset.py."""

import json

import numpy as np
import pytest
import torch
from analyze_dataset import main

from seesaw_d2.config.loading import load_config
from seesaw_d2.data import register_datasets
from seesaw_d2.errors import SeesawError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.modeling.calibration import FRACAL, calibration_for
from seesaw_d2.modeling.calibration.fracal import class_weights
from seesaw_d2.modeling.calibration.statistics import calibration_statistics
from tests.golden import SHARED

NODE = "MODEL.ROI_HEADS.CALIBRATION"
HEADER = "category_id,image_count,instance_count,fractal_dimension"
LVIS_IMAGES = 100170


def test_published_dimensions_of_lvis():
    table, counts = SHARED / "golden2/lvis_v1_fractal_dimension.csv", SHARED / "data/lvis_v1_train_category_counts.json"
    if not (table.is_file() and counts.is_file()):
        pytest.skip(f"statistics of LVIS v1 not found: {table}, {counts}")
    cfg = load_config("", [f"{NODE}.COUNTS", str(table), f"{NODE}.FRACAL.NUM_IMAGES", LVIS_IMAGES])
    found = calibration_statistics(cfg, FRACAL, 1203)
    expected = json.loads(counts.read_text())
    assert found.image_count.tolist() == [each["image_count"] for each in expected]
    assert found.instance_count.tolist() == [each["instance_count"] for each in expected]
    dimensions = found.fractal_dimensions()
    few = found.instance_count < 4
    assert few.sum() == 103
    assert (dimensions[few] == 1).all()
    assert (dimensions == 1).sum() == 139
    assert ((dimensions >= 1) & (dimensions <= 2)).all()
    assert dimensions.mean() == pytest.approx(1.6428, abs=5e-5)
    built = calibration_for("FRACAL", 1203, counts=str(table), num_images=LVIS_IMAGES, lambda_=2)
    weights = -np.log10([each["image_count"] / LVIS_IMAGES for each in expected]) - np.log10(1203)
    np.testing.assert_allclose(built.log_factors, weights - 2 * np.log(dimensions.numpy()), rtol=1e-10)


@pytest.mark.parametrize("name", ["NorCal", "FRACAL", "LogitAdjustment"])
def test_statistics_that_the_tool_wrote(config_file, tmp_path, name):
    """Test that the file gives the same factors as the annotations."""
    table = str(tmp_path / "statistics.csv")
    assert main(["--config-file", str(config_file), "--output", str(tmp_path / "out"), "--statistics", table]) == 0
    cfg = load_config(str(config_file), [f"{NODE}.NAME", name])
    register_datasets(cfg)
    expected = build_model(cfg).roi_heads.box_predictor.calibration.log_factors
    keys = [f"{NODE}.NAME", name, f"{NODE}.COUNTS", table, "DATASETS.TRAIN", "()"]
    if name == "FRACAL":
        keys += [f"{NODE}.FRACAL.NUM_IMAGES", 24]
    found = build_model(load_config(str(config_file), keys)).roi_heads.box_predictor.calibration.log_factors
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert expected.std() > 0


@pytest.mark.parametrize("link", ["raw", "smooth"])
def test_shares_of_instances_need_no_number_of_images(config_file, tmp_path, link):
    path = tmp_path / "statistics.csv"
    path.write_text(f"{HEADER}\n" + "".join(f"{index},{index},{index * index},1.5\n" for index in range(1, 7)))
    keys = [f"{NODE}.NAME", "FRACAL", f"{NODE}.COUNTS", str(path), f"{NODE}.FRACAL.LINK", link]
    cfg = load_config(str(config_file), [*keys, f"{NODE}.FRACAL.FREQUENCY", "instances", "DATASETS.TRAIN", "()"])
    found = build_model(cfg).roi_heads.box_predictor.calibration.log_factors
    expected = class_weights(torch.arange(1, 7) ** 2, 91, link, "instances") - 2 * np.log(1.5)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("rows", "name", "images", "words"),
    [
        ("1,2,3,1\n2,4,5,1.5", "FRACAL", 9, ("COUNTS", "3", "2 rows", "statistics.csv")),
        ("1,2,3,1\n1,4,5,1.5\n3,4,4,1", "NorCal", 0, ("COUNTS", "3", "2 different")),
        ("1,2,3,1\n2,4,5,2.5\n3,4,4,1", "FRACAL", 9, ("fractal_dimension", "2.5", "statistics.csv")),
        ("1,2,3,1\n2,4,5,1.5\n3,4,4,1", "FRACAL", 3, ("num_images", "4", "3")),
        ("1,2,3,1\n2,-4,5,1.5\n3,4,4,1", "LogitAdjustment", 0, ("statistics.csv, line 3", "image_count", "-4")),
        ("1,2,3,1\n2,4,0.5,1.5\n3,4,4,1", "LogitAdjustment", 0, ("COUNTS", "statistics.csv", "instance_count", "0.5")),
        ("1,2,3,1\n2,4,5,x\n3,4,4,1", "FRACAL", 9, ("line 3", "fractal_dimension", "x")),
    ],
)
def test_wrong_files(tmp_path, rows, name, images, words):
    path = tmp_path / "statistics.csv"
    path.write_text(f"{HEADER}\n{rows}\n")
    parameter = {"NorCal": "gamma", "FRACAL": "lambda_", "LogitAdjustment": "tau"}[name]
    with pytest.raises(SeesawError) as error:
        calibration_for(name, 3, counts=str(path), num_images=images, **{parameter: 1.0})
    assert all(word in str(error.value) for word in words)


def test_recorded_counts_lack_what_fracal_needs(tmp_path):
    path = tmp_path / "counts.json"
    path.write_text('{"class_counts": [1, 2, 3]}')
    with pytest.raises(SeesawError, match=f"{NODE}.COUNTS") as error:
        calibration_for("FRACAL", 3, counts=str(path), lambda_=1.0)
    assert "counts.json" in str(error.value)
