"""Test the tables, files and charts of tools/analyze_dataset.py, for any registered dataset."""

import csv
import json

import numpy as np
import pytest
from analyze_dataset import main
from detectron2.data.detection_utils import read_image

from seesaw_d2.data import register_datasets
from seesaw_d2.data.sampling.config_analysis import analyze_config
from seesaw_d2.errors import DataError
from seesaw_d2.train import load_config
from tests.conftest import NUM_CLASSES


def read_rows(folder):
    with open(folder / "categories.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("how", ["config", "dataset"])
def test_a_registered_dataset(config_file, glyphs, tmp_path, capsys, how):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    source = ["--config-file", str(config_file)] if how == "config" else ["--dataset", cfg.DATASETS.TRAIN[0]]
    assert main([*source, "--repeat-threshold", "0.5", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    analysis = analyze_config(cfg, 0.5)
    assert analysis.summary() in printed
    rows = read_rows(tmp_path / "out")
    counts = analysis.statistics
    assert len(rows) == NUM_CLASSES
    assert [int(row["images"]) for row in rows] == sorted(counts.image_count.tolist(), reverse=True)
    for row in rows:
        index = counts.names.index(row["category"])
        assert row["category"] in printed
        assert int(row["instances"]) == counts.instance_count[index]
        assert float(row["repeat factor"]) == pytest.approx(max(1, (0.5 / (int(row["images"]) / 24)) ** 0.5), abs=5e-4)
        for sampling in ("uniform", "stochastic", "ceil"):
            expected = analysis.epoch_instances[sampling][index]
            assert float(row[f"instances an epoch, {sampling}"]) == pytest.approx(expected, abs=0.051)
    picture = read_image(str(tmp_path / "out" / "sampling.png"), "RGB")
    assert picture.std() > 5
    assert np.abs(picture[: picture.shape[0] // 2].astype(int) - 255).max() > 100


def test_counts_alone(tmp_path, capsys):
    categories = [{"name": f"c{i}", "image_count": 2 * i + 1, "instance_count": 3 * i + 1} for i in range(30)]
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({"categories": categories}))
    arguments = ["--counts", str(path), "--num-images", "100", "--repeat-threshold", "0.1", "--list", "2"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "100 images (100 with objects), 1335 instances of 30 categories (5 rare, 25 common" in printed
    assert [f"c{i} " in printed for i in (29, 28, 15, 1, 0)] == [True, True, False, True, True]
    assert "... 26 more ..." in printed
    assert [int(row["instances"]) for row in read_rows(tmp_path / "out")] == [3 * i + 1 for i in reversed(range(30))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "lvis_v1_trian"], "--dataset: "),
        (["--config-file", "nowhere.yaml"], "nowhere.yaml"),
        (["--counts", "nowhere.json", "--num-images", "3"], "nowhere.json"),
        (["--dataset", "x", "--repeat-threshold", "-1"], "--repeat-threshold: expected "),
        (["--dataset", "x", "--seed", "-1"], "--seed: expected "),
        (["--dataset", "x", "--seed", "0"], "--seed: expected "),
        (["--dataset", "x", "--list", "-1"], "--list: expected "),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(arguments, message, tmp_path, capsys):
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["--counts", "--dataset"])
def test_overrides_without_effect_are_refused(tmp_path, capsys, source):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps([{"name": "a", "image_count": 3, "instance_count": 4}]))
    chosen = ["--counts", str(path), "--num-images", "3"] if source == "--counts" else ["--dataset", "lvis_v1_train"]
    assert main([*chosen, "--output", str(tmp_path / "out"), "DATASETS.TRAIN", "('x',)"]) == 2
    error = capsys.readouterr().err
    assert "DATASETS.TRAIN" in error
    assert source in error
    assert not (tmp_path / "out").exists()


def test_a_list_of_no_category(tmp_path, capsys):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps([{"name": "only", "image_count": 3, "instance_count": 4}]))
    arguments = ["--counts", str(path), "--num-images", "3", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--list", "0"]) == 0
    assert "only" not in capsys.readouterr().out
    assert main(arguments) == 0
    assert "only" in capsys.readouterr().out


def test_an_output_that_cannot_be_made(config_file, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["--config-file", str(config_file), "--output", str(tmp_path / "file")]) == 2
    assert f"error: {tmp_path}/file: " in capsys.readouterr().err


def test_more_images_than_categories_in_them(tmp_path):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps([{"name": "a", "image_count": 3, "instance_count": 4}]))
    for num_images in ("4", "2", "0"):
        assert main(["--counts", str(path), "--num-images", num_images, "--output", str(tmp_path / "out")]) == 2


def test_a_test_set(config_file, glyphs, tmp_path):
    content = json.loads((glyphs / "annotations/glyphs_val.json").read_text())
    content.pop("annotations")
    (tmp_path / "test.json").write_text(json.dumps(content))
    cfg = load_config(str(config_file))
    entry = {"NAME": "glyphs_without", "JSON": str(tmp_path / "test.json"), "IMAGES": str(glyphs)}
    cfg.DATASETS.REGISTER, cfg.DATASETS.TRAIN = [entry], ("glyphs_without",)
    register_datasets(cfg)
    with pytest.raises(DataError, match="annotations"):
        analyze_config(cfg, 0.5)


COUNTS_THAT_ARE_NONE = ["[" * 10**5, "5", "null", "", "[1]", '[{"name": "a"}]'] + [
    json.dumps([{"name": name, "image_count": count, "instance_count": 1}]).replace("null", "9" * 30)
    for name, count in (([1], 1), ("a", float("nan")), ("a", None), ("a", []))
]


@pytest.mark.parametrize("text", COUNTS_THAT_ARE_NONE)
def test_counts_that_are_none(tmp_path, text, capsys):
    (tmp_path / "counts.json").write_text(text)
    assert main(["--counts", str(tmp_path / "counts.json"), "--num-images", "5", "--output", str(tmp_path / "o")]) == 2
    assert "counts.json" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
