"""Test that tools keep the categories of a checkpoint, and raise an error for another order."""

import json

import convert_weights
import evaluate_results
import pytest
import record_class_counts
import report
import tau_normalize
import torch
import yaml

from seesaw_d2.data import load_dataset, register_datasets
from seesaw_d2.data.records.catalog import class_names
from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.utils.category_names import Categories, entry_of
from seesaw_d2.weights.safe_reading import read_weights_file
from tests.conftest import NUM_CLASSES
from tests.data.toy import toy_data, write
from tests.report.runs import make_run

NAMES = ["ant", "bee", "c\u00e4t"]
BOX = "roi_heads.box_predictor"


def checkpoint(folder, names=NAMES):
    model = {
        f"{BOX}.cls_score.{kind}": torch.ones(len(names) + 1, *rest) for kind, rest in (("weight", (2,)), ("bias", ()))
    }
    model[f"{BOX}.cls_loss.class_counts"] = torch.arange(len(names) + 1)
    torch.save({"model": model, "iteration": 3, "categories": names}, folder / "model.pth")
    return str(folder / "model.pth")


def kept(path) -> Categories | None:
    return entry_of(read_weights_file(str(path)), "")


def test_there_and_back(tmp_path):
    source = checkpoint(tmp_path)
    for first, second in ((source, "a.safetensors"), (tmp_path / "a.safetensors", "b.pth")):
        assert convert_weights.main([str(first), str(tmp_path / second)]) == 0
        assert kept(tmp_path / second).names == tuple(NAMES)


def test_tau(tmp_path):
    keys = {"MODEL.ROI_HEADS.NUM_CLASSES": 3, "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME": "Linear"}
    cfg = load_config("", [word for pair in keys.items() for word in map(str, pair)])
    (tmp_path / "config.yaml").write_text(cfg.dump())
    assert tau_normalize.main([checkpoint(tmp_path), str(tmp_path / "tau.pth"), "--tau", "1"]) == 0
    assert kept(tmp_path / "tau.pth").names == tuple(NAMES)


def test_recorded_counts(tmp_path, config_file):
    """Test recorded class counts. Training with another order of categories would confuse the counts."""
    names = list(register_and_name(config_file))
    for order in (names, names[::-1]):
        file = tmp_path / f"{order[0]}.json"
        assert record_class_counts.main([checkpoint(tmp_path, order), str(file)]) == 0
        assert json.loads(file.read_text())["categories"] == order
        words = ["MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS", str(file)]
        if order == names:
            Preflight(load_config(str(config_file), words)).job()
            continue
        with pytest.raises(ConfigError, match="index 0 ") as error:
            Preflight(load_config(str(config_file), words)).job()
        assert str(file) in str(error.value)


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_counts_of_a_calibration(tmp_path, config_file, ending):
    """Counts in another order would calibrate the scores of other categories."""
    names, key = list(register_and_name(config_file)), "MODEL.ROI_HEADS.CALIBRATION"
    for order in (names, names[::-1]):
        file = tmp_path / f"{order[0]}.{ending}"
        lines = ["category_id,image_count,instance_count,name", *(f"{i},{i + 1},5,{n}" for i, n in enumerate(order))]
        content = {"class_counts": list(range(1, len(order) + 1)), "categories": order}
        file.write_text(json.dumps(content) if ending == "json" else "\n".join(lines))
        words = [f"{key}.NAME", "LogitAdjustment", f"{key}.COUNTS", str(file)]
        preflight = Preflight(load_config(str(config_file), words))
        if order == names:
            preflight.job()
            continue
        with pytest.raises(ConfigError, match="index 0 ") as error:
            preflight.job()
        assert str(file) in str(error.value)


def register_and_name(config_file):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    return class_names(cfg.DATASETS.TEST[0])


def test_a_report(tmp_path, config_file, capsys):
    names = list(register_and_name(config_file))
    cfg = load_config(str(config_file))
    folder = make_run(tmp_path / "made", config_file, load_dataset(cfg.DATASETS.TEST[0]), NUM_CLASSES)
    content = torch.load(folder / "model_final.pth", weights_only=True)
    for order, status in ((names, 0), (names[::-1], 2)):
        torch.save({**content, "categories": order}, folder / "model_final.pth")
        (folder / "report.html").unlink(missing_ok=True)
        assert report.main([str(folder), "--images", "0"]) == status
        assert (folder / "report.html").exists() is (status == 0)
    found = capsys.readouterr().err
    assert "model_final.pth" in found
    assert "index 0 " in found


@pytest.mark.parametrize("way", ["training set", "checkpoint", "fewer categories", "registered"])
def test_results_alone(tmp_path, capsys, way):
    """Test the evaluation of results with the category names of the training, in the same and in another order."""
    data = toy_data()
    results = [{**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.5} for a in data["annotations"]]
    results_file, tested = write(tmp_path, results, "results.json"), write(tmp_path, data, "val.json")
    swapped = json.loads(json.dumps(data))
    first, second = swapped["categories"][:2]
    first["name"], second["name"] = second["name"], first["name"]
    if way == "fewer categories":  # the training set has a category that the test set does not have
        for each in (data, swapped):
            each["categories"].append({"id": 99, "name": "more"})
    names = {each["id"]: each["name"] for each in data["categories"]}
    in_order = [names[key] for key in sorted(names)]
    (tmp_path / "images").mkdir()
    for trained, status in ((data, 0), (swapped, 2)):
        name = f"{tmp_path.name}_{status}"
        entry = {"NAME": name, "JSON": write(tmp_path, trained, f"{status}.json"), "IMAGES": str(tmp_path / "images")}
        more = {"NAME": f"{name}_test", "JSON": tested, "IMAGES": str(tmp_path / "images")}
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump({"DATASETS": {"REGISTER": [entry, more], "TRAIN": [name]}}))
        source = ["--dataset", more["NAME"]] if way == "registered" else ["--annotations", tested]
        arguments = [*source, "--config-file", str(config)]
        if way == "checkpoint":
            weights = checkpoint(tmp_path, in_order if status == 0 else in_order[::-1])
            arguments = [*source, "--checkpoint", weights]
        assert evaluate_results.main([*arguments, results_file]) == status
        assert ("index " in capsys.readouterr().err) is (status == 2)
