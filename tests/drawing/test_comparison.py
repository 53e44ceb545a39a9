"""Figures of detections and the table of results."""

import json

import numpy as np
from detectron2.data.detection_utils import read_image

from seesaw_d2.data import load_dataset, register_datasets, training_frequency_groups
from seesaw_d2.report import draw_predictions, results_table
from seesaw_d2.train import load_config


def test_picture(config_file, tmp_path):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    name = cfg.DATASETS.TEST[0]
    record = load_dataset(name)[0]
    left, top, width, height = record["annotations"][0]["bbox"]
    detection = {"image_id": record["image_id"], "category_id": 1, "bbox": [left, top, width, height]}
    groups = training_frequency_groups(cfg)
    pictures = []
    for score in (0.9, 0.1):  # the second is below the threshold: nothing to draw
        results, picture = tmp_path / "results.json", tmp_path / f"{score}.png"
        results.write_text(json.dumps([{**detection, "score": score}]))
        draw_predictions(name, {"model": results}, picture, num_images=len(load_dataset(name)), groups=groups)
        pictures.append(read_image(str(picture), "RGB"))
    assert pictures[0].shape == pictures[1].shape
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 50


def test_table():
    metrics = dict.fromkeys(("AP", "AP50", "AP75", "APr", "APc", "APf"), 12.34)
    table = results_table({"bbox": metrics, "segm": {**metrics, "APr": None}}).splitlines()
    assert table[0].split() == ["AP", "AP50", "AP75", "APr", "APc", "APf"]
    assert table[1].split() == ["box"] + ["12.3"] * 6
    assert table[2].split()[4] == "-"
