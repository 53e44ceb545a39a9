"""Test that tools/calibrate.py tells whether its images are also training images or test images."""

import shutil

import pytest
import yaml

from seesaw_d2.choosing import image_sets
from seesaw_d2.data import register_datasets
from seesaw_d2.train import load_config
from tests.tools.test_calibrate import read, run, weights  # noqa: F401  (fixtures)


@pytest.fixture
def registered_again(config_file, tmp_path):
    """Return a function that registers a dataset of the config again, with a copy of its file and a linked folder."""

    def call(index: int) -> str:
        config = yaml.safe_load(config_file.read_text())
        entry = dict(config["DATASETS"]["REGISTER"][index])
        copied, linked = tmp_path / f"copy{index}.json", tmp_path / f"images{index}"
        shutil.copy(entry["JSON"], copied)
        linked.symlink_to(entry["IMAGES"])
        entry = {"NAME": f"{entry['NAME']}_again_{tmp_path.name}", "JSON": str(copied), "IMAGES": str(linked)}
        config["DATASETS"]["REGISTER"].append(entry)
        config_file.write_text(yaml.safe_dump(config))
        return entry["NAME"]

    return call


def test_training_images_under_another_name(run, tmp_path, capsys, caplog, registered_again):  # noqa: F811
    name = registered_again(0)
    assert run("--images", "4", "--calibrations", "NorCal", "--values", "0.5", "--choose-on", name) == 0
    assert read(tmp_path)["choice"] == {"dataset": name, "images": 4, "seen": True}
    assert "training images" in capsys.readouterr().out
    (told,) = (text for text in caplog.messages if "--choose-on" in text)
    assert all(word in told for word in (name, "DATASETS.TRAIN"))


def test_test_images_under_another_name(run, tmp_path, capsys, registered_again):  # noqa: F811
    name = registered_again(1)
    assert run("--images", "4", "--calibrations", "NorCal", "--values", "0.5", "--choose-on", name) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("--choose-on", name, "DATASETS.TEST"))
    assert not (tmp_path / "calibration").exists()


def test_a_missing_training_set(run, tmp_path, caplog, config_file):  # noqa: F811
    config = yaml.safe_load(config_file.read_text())
    (name,) = config["DATASETS"]["TRAIN"]
    config["DATASETS"]["TRAIN"] = ["lvis_v1_train"]
    config_file.write_text(yaml.safe_dump(config))
    arguments = ("--images", "4", "--calibrations", "TauNormalization", "--values", "0.5")
    assert run(*arguments, "--choose-on", name) == 0
    assert read(tmp_path)["choice"]["seen"] is False
    told = [text for text in caplog.messages if "--choose-on" in text]
    assert len(told) == 1
    assert all(word in told[0] for word in (name, "DATASETS.TRAIN", "lvis_v1_train.json"))


@pytest.mark.parametrize("part", ["TRAIN", "TEST"])
def test_a_test_set_that_is_trained_on_is_told(config_file, caplog, part):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    cfg.DATASETS.TEST = cfg.DATASETS[part]
    image_sets.tested_set(cfg)
    told = [text for text in caplog.messages if cfg.DATASETS.TRAIN[0] in text]
    assert len(told) == (part == "TRAIN")
