"""Test figures of detections, and the table of results."""

import importlib.util
import json
import os
from pathlib import Path

import compare
import numpy as np
import pytest
from detectron2.data.detection_utils import read_image
from matplotlib.axes import Axes
from pycocotools import mask as mask_utils

from seesaw_d2.data import load_dataset, register_datasets, training_frequency_groups
from seesaw_d2.drawing.detection_outcomes import MISSED, RIGHT, UNJUDGED, WRONG, Shown, judge
from seesaw_d2.errors import DataError
from seesaw_d2.report import draw_predictions, results_table
from seesaw_d2.train import load_config
from tests.data.toy import entry, make_cfg, toy_data, write, write_images


def test_picture(config_file, tmp_path):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    name = cfg.DATASETS.TEST[0]
    record = load_dataset(name)[0]
    left, top, width, height = record["annotations"][0]["bbox"]
    detection = {"image_id": record["image_id"], "category_id": 1, "bbox": [left, top, width, height]}
    groups = training_frequency_groups(cfg)
    pictures = []
    for score in (0.9, 0.1):  # the second score is below the threshold, so that nothing is drawn
        results, picture = tmp_path / "results.json", tmp_path / f"{score}.png"
        results.write_text(json.dumps([{**detection, "score": score}]))
        draw_predictions(name, {"model": results}, picture, num_images=len(load_dataset(name)), groups=groups)
        pictures.append(read_image(str(picture), "RGB"))
    assert pictures[0].shape == pictures[1].shape
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 50


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        "[{}]",
        "[",
        '[{"image_id": 1, "category_id": 1, "score": NaN, "bbox": [0, 0, 1, 1]}]',
        "masks",
        "deep",
    ],
)
def test_results_are_checked_before_they_are_drawn(config_file, tmp_path, text):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    image = load_dataset(cfg.DATASETS.TEST[0])[0]
    rle = mask_utils.encode(np.ones((image["height"], image["width"]), np.uint8, order="F"))
    mask = {"size": rle["size"], "counts": rle["counts"].decode()}
    item = {"image_id": image["image_id"], "category_id": 1, "score": 0.9, "segmentation": mask}
    results = tmp_path / "results.json"
    results.write_text({"masks": json.dumps([item]), "deep": "[" * 100_000}.get(text, text))
    with pytest.raises(DataError, match=r"results\.json"):
        draw_predictions(cfg.DATASETS.TEST[0], {"model": results}, tmp_path / "picture.png")
    results.write_text(json.dumps([{**item, "bbox": [1, 1, 9, 9]}]))
    draw_predictions(cfg.DATASETS.TEST[0], {"model": results}, tmp_path / "picture.png", num_images=1)


def verdicts(detections, truths, judged=None):
    shown = judge([Shown(*each) for each in detections], [Shown(*each) for each in truths], judged)
    return [(each.category, each.verdict) for each in shown]


def test_right_wrong_and_missed():
    first, second, third = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)
    truths = [(first, None, 1), (second, None, 2), (third, None, 3)]
    found = [((0, 0, 10, 9), None, 1), ((0, 0, 10, 8), None, 1), (second, None, 3), ((60, 0, 70, 10), None, 4)]
    # A second detection of an object is wrong. An object with a detection of another category is not missed.
    assert verdicts(found, truths) == [(1, RIGHT), (1, WRONG), (3, WRONG), (4, WRONG), (3, MISSED)]
    assert verdicts(found, truths, {1, 2, 3})[3] == (4, UNJUDGED)
    assert verdicts([((0, 0, 10, 4), None, 1)], truths[:1]) == [(1, WRONG), (1, MISSED)]  # IoU 0.4
    assert verdicts([], truths) == [(1, MISSED), (2, MISSED), (3, MISSED)]
    assert verdicts(found[:1], []) == [(1, WRONG)]


def test_two_objects_in_one_place_need_two_detections():
    pair = [((0, 0, 10, 10), None, 1), ((0, 0, 10, 9), None, 1)]
    assert verdicts(pair, pair) == [(1, RIGHT), (1, RIGHT)]
    assert verdicts(pair, pair[:1]) == [(1, RIGHT), (1, WRONG)]


def test_data_that_cannot_be_drawn_or_lists_other_categories(tmp_path):
    """Files can lack annotations, and lists of the LVIS format can contain unknown categories."""
    data, name = toy_data(), f"{tmp_path.name}_drawn"
    for image in data["images"]:
        image |= {"neg_category_ids": [99], "not_exhaustive_category_ids": [98]}
    images = write_images(tmp_path / "images", data)
    test = {key: value for key, value in data.items() if key != "annotations"}
    for each, content in ((name, data), (f"{name}_test", test)):
        register_datasets(make_cfg(entry(each, write(tmp_path, content, f"{each}.json"), images)))
    results = write(tmp_path, [{"image_id": 10, "category_id": 3, "bbox": [5, 5, 15, 15], "score": 0.9}], "r.json")
    draw_predictions(name, {"model": results}, tmp_path / "p.png", num_images=1)
    with pytest.raises(DataError, match=f"{name}_test.*annotations"):
        draw_predictions(f"{name}_test", {"model": results}, tmp_path / "q.png", num_images=1)
    assert not (tmp_path / "q.png").exists()


def test_images_are_spread_over_the_data_set_and_counted(config_file, tmp_path, monkeypatch):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    name = cfg.DATASETS.TEST[0]
    records = load_dataset(name)
    titles = []
    monkeypatch.setattr(Axes, "set_title", lambda self, text, **kwargs: titles.append(text))
    found = [
        {"image_id": records[3]["image_id"], "category_id": a["category_id"] + 1, "bbox": a["bbox"], "score": 0.9}
        for a in records[3]["annotations"]
    ]
    (tmp_path / "results.json").write_text(json.dumps(found))
    draw_predictions(name, {"model": tmp_path / "results.json"}, tmp_path / "p.png", num_images=2)
    assert len(records) == 6  # the first and the fourth image are drawn
    assert titles[1].split("\n")[1] == f"{len(found)} right, 0 wrong, {len(records[0]['annotations'])} missed"


def test_the_demo_draws_the_runs_on_its_data_set(tmp_path):
    path = Path(compare.__file__).with_name("demo.py")  # "demo" is demo.py in the root folder
    spec = importlib.util.spec_from_file_location("make_demo", path)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    data, runs = tmp_path / "data", {name: tmp_path / name for name in ("older", "newer", "absent")}
    data.mkdir()
    (data / "glyphs.json").write_text("{}")
    made = (data / "glyphs.json").stat().st_mtime
    for name, seconds in (("older", -5), ("newer", 5)):
        file = runs[name] / demo.DETECTIONS
        file.parent.mkdir(parents=True)
        file.write_text("[]")
        os.utime(file, (made + seconds, made + seconds))
    assert demo.detections_of(runs, data) == {"newer": runs["newer"] / demo.DETECTIONS}


def test_table():
    metrics = dict.fromkeys(("AP", "AP50", "AP75", "APr", "APc", "APf"), 12.34)
    table = results_table({"bbox": metrics, "segm": {**metrics, "APr": None}}).splitlines()
    assert table[0].split() == ["AP", "AP50", "AP75", "APr", "APc", "APf"]
    assert table[1].split() == ["box"] + ["12.3"] * 6
    assert table[2].split()[4] == "-"
