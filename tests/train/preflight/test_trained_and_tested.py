"""Test the note about images that are in both the training set and the test set, for all kinds of datasets."""

import json
import os
import shutil

import numpy as np
import pytest

from seesaw_d2.data import register_datasets
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.trained_and_tested import trained_and_tested, trained_twice
from tests.data.toy import toy_data


@pytest.fixture
def sources(tmp_path):
    """Return a dict from name to a dataset of images in classes/cat and classes/dog. Listed images may be missing."""
    for name in ("cat/a.png", "cat/b.png", "dog/c.png"):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / name).write_bytes(b"")
    os.symlink(tmp_path / "classes", tmp_path / "link")
    (tmp_path / "one.csv").write_text("path,label\ncat/a.png,0\ndog/c.png,1\n")
    (tmp_path / "other.csv").write_text("path,label\ncat/b.png,0\ndog/c.png,1\ndog/d.png,1\n")
    (tmp_path / "rest.txt").write_text("cat/e.png 0\n")
    (tmp_path / "augmented.txt").write_text("cat/a_jpg.rf.11111111.jpg 0\n")
    (tmp_path / "versions.txt").write_text("cat/a_jpg.rf.22222222.jpg 0\ncat/b_jpg.rf.22222222.jpg 0\n")
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.arange(2), names=["cat", "dog"])
    shutil.copy(tmp_path / "x.npz", tmp_path / "y.npz")
    data = toy_data(4)
    for name, images in (("t.json", data["images"][:3]), ("v.json", data["images"][2:])):
        ids = {image["id"] for image in images}
        objects = [item for item in data["annotations"] if item["image_id"] in ids]
        (tmp_path / name).write_text(json.dumps({**data, "images": images, "annotations": objects}))
    listed = {"IMAGES": "classes", "CLASSES": 2}
    return {
        "one": {"CSV": "one.csv", **listed},
        "one by a link": {"CSV": "one.csv", **listed, "IMAGES": "link"},
        "other": {"CSV": "other.csv", **listed},
        "rest": {"LIST": "rest.txt", **listed},
        "augmented": {"LIST": "augmented.txt", **listed},
        "rest of augmented": {"LIST": "versions.txt", **listed},
        "folder": {"FOLDER": "classes"},
        "long-tailed folder": {"FOLDER": "link", "IMBALANCE": 2},
        "arrays": {"NPZ": "x.npz"},
        "copied arrays": {"NPZ": "y.npz"},
        "digits": {"DIGITS": "test"},
        "other digits": {"DIGITS": "train"},
        "train": {"JSON": "t.json", "IMAGES": "classes"},
        "val": {"JSON": "v.json", "IMAGES": "link"},
    }


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        ("one", "one", ["test"]),
        ("one", "one by a link", ["test"]),
        ("arrays", "arrays", ["test"]),
        ("arrays", "copied arrays", ["test"]),
        ("digits", "digits", ["test"]),
        ("folder", "long-tailed folder", ["test"]),
        ("train", "train", ["test"]),
        ("one", "other", ["1 of 3", "test", "dog/c.png"]),
        ("folder", "one", ["2 of 2", "test", "cat/a.png", "dog/c.png"]),
        ("train", "val", ["1 of 2", "test", "2.jpg"]),
        ("one", "rest", []),
        ("augmented", "rest of augmented", ["1 of 2", "test", "a_jpg.rf.22222222.jpg"]),
        ("digits", "other digits", []),
        ("arrays", "folder", []),
    ],
)
def test_images_in_both(tmp_path, monkeypatch, sources, request, train, test, found):
    monkeypatch.chdir(tmp_path)
    cfg = load_config()
    names = {kind: f"{kind}_{request.node.name}" for kind in ("train", "test")}
    cfg.DATASETS.REGISTER = [
        {"NAME": names[kind], **sources[which]} for kind, which in (("train", train), ("test", test))
    ]
    register_datasets(cfg)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (names["train"],), (names["test"],)
    warnings = trained_and_tested(cfg)
    assert len(warnings) == bool(found)
    assert all(part in warning for warning in warnings for part in ("DATASETS.TEST", names["test"], *found))
    cfg.DATASETS.TRAIN += cfg.DATASETS.TEST
    twice = trained_twice(cfg)
    assert len(twice) == (found == ["test"])
    assert all(part in warning for warning in twice for part in ("DATASETS.TRAIN", *names.values()))
    cfg.DATASETS.TRAIN = (names["train"],)
    assert trained_and_tested(cfg, images=False) == (warnings if found == ["test"] else ())
