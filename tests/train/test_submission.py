"""Test that for test sets without annotations, train_net.py writes a file for LVIS's evaluation server."""

import json

import pytest
import torch
import yaml
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from pycocotools import mask as mask_utils

from seesaw_d2.train import load_config, main


@pytest.fixture
def weights(config_file):
    """Return a file with the weights of an untrained model."""
    path = config_file.parent / "weights.pth"
    torch.save({"model": build_model(load_config(str(config_file))).state_dict()}, path)
    return str(path)


def without_annotations(source, folder):
    """Write a file like LVIS's image_info: only images and categories."""
    data = json.loads(source.read_text())
    path = folder / "test_dev.json"
    path.write_text(json.dumps({"images": data["images"], "categories": data["categories"]}))
    return path


def test_eval_only_writes_the_submission(glyphs, config_file, weights, capfd):
    image_info = without_annotations(glyphs / "annotations/glyphs_val.json", config_file.parent)
    config = yaml.safe_load(config_file.read_text())
    name = f"{glyphs.parent.name}_test_dev"
    config["DATASETS"]["REGISTER"].append({"NAME": name, "JSON": str(image_info), "IMAGES": str(glyphs / "images")})
    config_file.write_text(yaml.safe_dump(config))
    options = ["DATASETS.TEST", f"('{name}',)", "MODEL.WEIGHTS", weights, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"]
    assert main(["--config-file", str(config_file), "--eval-only", *options]) == 0
    path = config_file.parent / "run/inference" / name / "lvis_submission.json"
    assert str(path) in capfd.readouterr().out
    data = json.loads(image_info.read_text())
    sizes = {image["id"]: [image["height"], image["width"]] for image in data["images"]}
    entries = json.loads(path.read_text())
    assert {entry["image_id"] for entry in entries} == set(sizes)
    assert {entry["category_id"] for entry in entries} <= {category["id"] for category in data["categories"]}
    for entry in entries:
        assert set(entry) == {"image_id", "category_id", "score", "segmentation"}
        assert 0 <= entry["score"] <= 1
        assert entry["segmentation"]["size"] == sizes[entry["image_id"]]
    assert mask_utils.decode(entries[0]["segmentation"]).shape == tuple(entries[0]["segmentation"]["size"])


def test_lvis_test_dev_is_known():
    metadata = MetadataCatalog.get("lvis_v1_test_dev")
    assert metadata.json_file.endswith("lvis/lvis_v1_image_info_test_dev.json")
    assert metadata.evaluator_type == "lvis"
    assert len(metadata.thing_classes) == 1203
