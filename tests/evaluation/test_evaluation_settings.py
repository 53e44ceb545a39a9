"""Test the comparison of an evaluation in a run folder with the run's config.yaml."""

import json
import os

import pytest

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.evaluation_settings import (
    SETTINGS_FILE,
    describe_settings,
    other_settings,
    read_settings,
    recorded_settings,
)


@pytest.fixture
def run(tmp_path):
    """Return a function that compares overrides with a run, which has a resolved schedule and other training keys."""
    trained = ["MODEL.WEIGHTS", "start.pth", "SOLVER.BASE_LR", "0.5", "INPUT.MIN_SIZE_TRAIN", "(40,)", "SEED", "3"]
    trained += ["MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_ITER", "7", "DATALOADER.NUM_WORKERS", "0"]
    (tmp_path / "config.yaml").write_text(load_config("", trained).dump())
    return lambda *overrides, weights="model_final.pth", **options: other_settings(
        str(tmp_path), load_config("", overrides).dump(), str(tmp_path / weights), **options
    )


def test_the_same_settings(run):
    assert run() == {}
    assert run("MODEL.DEVICE", "cpu", "TEST.EVAL_PERIOD", "5", "TEST.LVIS_METRICS", "['fixed']", "SEED", "4") == {}
    assert run("TEST.AUG.ENABLED", "True", "TEST.AUG.MAX_SIZE", "9", "SOLVER.MAX_ITER", "5") == {}


@pytest.mark.parametrize(
    ("key", "before", "now"),
    [
        ("MODEL.ROI_HEADS.CALIBRATION.NAME", "", "NorCal"),
        ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.05", "0.5"),
        ("MODEL.ROI_HEADS.NMS_THRESH_TEST", "0.5", "0.7"),
        ("MODEL.RETINANET.SCORE_THRESH_TEST", "0.05", "0.5"),
        ("TEST.DETECTIONS_PER_IMAGE", "100", "300"),
        ("MODEL.ROI_HEADS.CALIBRATION.NORCAL.NORMALIZE", "true", "False"),
        ("INPUT.MIN_SIZE_TEST", "800", "400"),
        ("INPUT.MAX_SIZE_TEST", "1333", "500"),
        ("INPUT.FORMAT", "BGR", "RGB"),
    ],
)
def test_other_settings(run, key, before, now):
    assert run(key, now) == {key: (before, now.replace("False", "false"))}


def test_other_data_of_the_same_name(tmp_path):
    """Image ids of two annotation files can be equal, so that a report would evaluate detections of other images."""
    entries = [{"NAME": name, "JSON": f"{name}.json", "IMAGES": "images"} for name in ("train", "val")]

    def config(found):
        cfg = load_config("", ["DATASETS.TEST", "('val',)"])
        cfg.DATASETS.REGISTER = found
        return cfg.dump()

    def compare(*found):
        return other_settings(str(tmp_path), config(list(found)), str(tmp_path / "model_final.pth"))

    (tmp_path / "config.yaml").write_text(config(entries))
    train, val = entries
    assert compare(val, train, {"NAME": "more", "JSON": "x", "IMAGES": "y"}) == {}
    assert compare({**train, "JSON": "other.json"}, val) == {}  # not evaluated
    assert compare(val) == {}
    assert compare({**val, "JSON": os.path.abspath("val.json")}) == {}
    found = compare(train, {**val, "JSON": "other.json", "FORMAT": "coco"})
    assert found == {
        "DATASETS.REGISTER.val.JSON": ("val.json", "other.json"),
        "DATASETS.REGISTER.val.FORMAT": ("not set", "coco"),
    }


def test_settings_of_test_time_augmentation(run):
    found = run("TEST.AUG.ENABLED", "True", "TEST.AUG.MAX_SIZE", "9", augmented=True)
    assert found == {"TEST.AUG.MAX_SIZE": ("4000", "9")}


def test_other_weights(run, tmp_path):
    found = run(weights="model_best.pth")
    assert found == {"MODEL.WEIGHTS": (str(tmp_path / "model_final.pth"), str(tmp_path / "model_best.pth"))}
    assert "model_best.pth" in describe_settings(found)


def test_a_folder_without_a_readable_config(run, tmp_path, caplog):
    (tmp_path / "config.yaml").write_text("a: [")
    assert run("TEST.DETECTIONS_PER_IMAGE", "300") == {}
    assert str(tmp_path / "config.yaml") in caplog.text
    (tmp_path / "config.yaml").unlink()
    assert run("TEST.DETECTIONS_PER_IMAGE", "300") == {}


def test_the_record_stays_until_the_results_are_replaced(tmp_path):
    found = {"A": ("1", "2")}
    with recorded_settings([str(tmp_path)], found):
        assert read_settings(str(tmp_path)) == found
    with recorded_settings([str(tmp_path)], None):
        assert read_settings(str(tmp_path)) == found
    assert read_settings(str(tmp_path)) == {}


@pytest.mark.parametrize("content", [[], {"A": "1"}, {"A": ["1"]}, {"A": [1, 2]}])
def test_a_damaged_record(tmp_path, content):
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(content))
    with pytest.raises(DataError, match=SETTINGS_FILE):
        read_settings(str(tmp_path))
