"""Stored features and trials belong to the labels from which they were made."""

import numpy as np
import pytest
import torch
from PIL import Image

from seesaw_d2.choosing.calibration_folder import settings_of
from seesaw_d2.choosing.image_sets import ImageSet, annotations_of
from seesaw_d2.config.loading import load_config
from seesaw_d2.data.classification import sources
from tests.data.toy import entry, toy_data, write

LABELS = [0, 1, 1]


def make(folder, source, labels):
    """Write a dataset with these labels, and return its entry of DATASETS.REGISTER."""
    images, names = folder / "images", ["ant", "bee"]
    for index, label in enumerate(labels):
        place = images / (names[label] if source == "FOLDER" else "")
        place.mkdir(parents=True, exist_ok=True)
        (images / names[1 - label] / f"{index}.png").unlink(missing_ok=True)
        Image.new("RGB", (4, 4)).save(place / f"{index}.png")
    if source == "FOLDER":
        return {"FOLDER": str(images)}
    if source == "NPZ":
        np.savez(folder / "x.npz", images=np.zeros((len(labels), 4, 4), np.uint8), labels=labels, names=names)
        return {"NPZ": str(folder / "x.npz")}
    lines = ["path,label"] * (source == "CSV")
    lines += [f"{index}.png{',' if source == 'CSV' else ' '}{label}" for index, label in enumerate(labels)]
    (folder / "list.txt").write_text("\n".join(lines))
    return {source: str(folder / "list.txt"), "IMAGES": str(images), "CLASSES": 2}


@pytest.mark.parametrize("source", ["CSV", "LIST", "FOLDER", "NPZ"])
def test_changed_labels_are_other_annotations(tmp_path, source):
    name = f"{tmp_path.name}_labels"
    cfg = load_config("", ["DATASETS.TRAIN", f"('{name}',)", "DATASETS.TEST", "()"])
    cfg.DATASETS.REGISTER = [{"NAME": name, **make(tmp_path, source, LABELS)}]
    before = annotations_of(cfg)
    assert before.keys() == {name}
    assert annotations_of(cfg) == before
    make(tmp_path, source, LABELS[::-1])
    sources._read.cache_clear()  # as in a new process
    assert annotations_of(cfg) != before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.ROI_HEADS.CALIBRATION.COUNTS", "{}"),
        ("MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS", "{}"),
        ("DATASETS.PROPOSAL_FILES_TRAIN", "('{}',)"),
        ("DATASETS.PROPOSAL_FILES_TEST", "('{}',)"),
    ],
)
def test_changed_files_of_the_config_are_other_annotations(tmp_path, key, value):
    file = tmp_path / "file"
    file.write_text("before")
    cfg = load_config("", ["DATASETS.TRAIN", "()", "DATASETS.TEST", "()", key, value.format(file)])
    before = annotations_of(cfg)
    assert before.keys() == {str(file)}
    file.write_text("changed")
    assert annotations_of(cfg) != before


def test_the_images_of_the_choice_are_among_the_annotations(tmp_path):
    """--choose-on can name a dataset that DATASETS does not contain."""
    name, file = f"{tmp_path.name}_choice", write(tmp_path, toy_data())
    cfg = load_config("", ["DATASETS.TRAIN", "()", "DATASETS.TEST", "()"])
    cfg.DATASETS.REGISTER = [entry(name, file, tmp_path)]
    images, model = ImageSet(name, (10, 11)), torch.nn.Linear(1, 1)
    before = settings_of(cfg, model, images, images)
    write(tmp_path, {**toy_data(), "annotations": toy_data()["annotations"][:3]})
    assert [key for key, value in settings_of(cfg, model, images, images).items() if value != before[key]] == [
        "annotations"
    ]
