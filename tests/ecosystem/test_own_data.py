"""Test datasets from exports of labelling tools, and the commands in docs/own-data.md."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from seesaw_d2.data import register_datasets, validate_datasets
from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.job_checks import Preflight
from tests.ecosystem.exports import cvat, label_studio, roboflow, small

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/own-data.md"
BASE = str(ROOT / "configs/quickstart/Base-glyphs.yaml")


def job(output):
    """Return the checked config of a training with ``dataset.yaml``."""
    path = output / "job.yaml"
    path.write_text(f'_BASE_: ["{BASE}", "dataset.yaml"]\n')
    cfg = load_config(str(path), ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(output / "run")])
    Preflight(cfg).job()
    return cfg


@pytest.mark.parametrize("tool", [label_studio, cvat, roboflow])
def test_exports_become_jobs(tool, tmp_path):
    """Test that a training accepts the dataset, with all 41 categories and each image exactly once."""
    done = prepare_export(tool(tmp_path / "export"), tmp_path / tool.__name__, images=tmp_path / "export")
    cfg = job(tmp_path / tool.__name__)
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 41 == len(done.category_images)
    assert sum(done.num_images.values()) == 32
    assert ("bitmask" if tool is cvat else "polygon") == cfg.INPUT.MASK_FORMAT
    assert all(train > 0 for train, _ in done.category_images.values())
    assert 6 <= done.num_images["val"] <= 12
    check_coverage(tmp_path / tool.__name__)
    assert any("supercategories" in note for note in done.notes) == (tool is roboflow)


def check_coverage(output):
    """Check that if a category has no validation image, each of its images is the last training image of a category."""
    held = {}
    for split in ("train", "val"):
        held[split] = {}
        for item in json.loads((output / f"{split}.json").read_text())["annotations"]:
            if not item.get("iscrowd"):
                held[split].setdefault(item["image_id"], set()).add(item["category_id"])
    validated = set().union(*held["val"].values())
    counts = Counter(category for categories in held["train"].values() for category in categories)
    for categories in held["train"].values():
        assert categories <= validated or min(counts[category] for category in categories) == 1
    assert len(validated) > 10


def test_a_split_of_the_tools_own_is_kept(tmp_path):
    train = roboflow(tmp_path / "export", "train", slice(0, 20))
    val = roboflow(tmp_path / "export", "valid", slice(20, 32))
    done = prepare_export(train, tmp_path / "kept", val=val, images=tmp_path / "export")
    assert done.num_images == {"train": 20, "val": 12}
    job(tmp_path / "kept")


def test_boxes_alone(tmp_path):
    prepare_export(small(tmp_path / "export"), tmp_path / "boxes")
    assert job(tmp_path / "boxes").MODEL.MASK_ON is False


def test_the_split_is_by_category_and_seed(tmp_path):
    files = []
    for name in ("one", "same"):
        done = prepare_export(small(tmp_path / "export"), tmp_path / name, seed=3)
        assert done.category_images == {"cat": (1, 1), "dog": (1, 1)}
        files.append((tmp_path / name / "val.json").read_text())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("a.png", "b.png", "c.png", "nowhere.png")}, ": nowhere.png"),
        ({"annotations": None}, '"annotations": expected a list'),
        ({"annotations": [{"id": 1, "image_id": 0, "category_id": 9, "bbox": [1, 1, 2, 2]}]}, '"category_id"'),
        ({"names": (), "images": []}, 'export/result.json: "images": expected at least one'),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(tmp_path, changes, message):
    with pytest.raises(DataError, match=re.escape(message)):
        prepare_export(small(tmp_path / "export", **changes), tmp_path / "made")
    assert not list((tmp_path / "made").glob("*"))


def test_images_of_one_name(tmp_path):
    """Test that the folder in a name selects the image. Without a folder, the name is ambiguous and refused."""
    export = small(tmp_path / "export", names=("x/a.png", "b.png", "c.png", "d.png"))
    for folder in ("x", "y"):
        (tmp_path / "export" / folder).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / "export" / folder / "a.png")
    (tmp_path / "export/a.png").unlink()
    prepare_export(export, tmp_path / "made")
    parts = [json.loads((tmp_path / f"made/{split}.json").read_text())["images"] for split in ("train", "val")]
    assert "x/a.png" in {image["file_name"] for part in parts for image in part}
    small(tmp_path / "export")
    (tmp_path / "export/a.png").unlink()
    with pytest.raises(DataError, match=r"1 of 4 .*: a\.png \(x/a\.png, y/a\.png"):
        prepare_export(export, tmp_path / "made")


def test_an_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    main = runpy.run_path(str(ROOT / "datasets/prepare_export.py"))["main"]
    assert main([str(small(tmp_path / "export")), "--output", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/file/")
    assert "cannot write the file: " in error
    assert error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_wrong_arguments(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"--val-share: expected .*, found 1"):
        prepare_export(small(tmp_path / "export"), tmp_path / "made", val_share=1)
    main = runpy.run_path(str(ROOT / "datasets/prepare_export.py"))["main"]
    assert main([str(tmp_path / "nowhere.json"), "--output", str(tmp_path / "made")]) == 2
    assert "nowhere.json" in capsys.readouterr().err


def blocks(marked):
    """Return the code blocks of the guide in the given language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language == marked]


def test_the_guides_real_training_is_a_job(tmp_path, monkeypatch):
    """Test the code block that needs a GPU and the network, without loading its weights."""
    (block,) = [block for block in blocks("") if "train.yaml" in block]
    (text,) = re.findall(r"<<'END'\n(.*?)^END$", block, re.MULTILINE | re.DOTALL)
    prepare_export(label_studio(tmp_path / "export"), tmp_path / "datasets/my_data")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    Path("datasets/my_data/train.yaml").write_text(text)
    cfg = load_config("datasets/my_data/train.yaml", ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    schedule = Preflight(cfg).job().schedule
    assert schedule.epochs == 24


def test_weights_that_others_trained_on_it_are_evaluated(tmp_path, monkeypatch):
    """Test the config in docs/published-models.md that evaluates weights of other programs on this data."""
    (text,) = re.findall(r"`(_BASE_: .+)`", (ROOT / "docs/published-models.md").read_text())
    prepare_export(label_studio(tmp_path / "export"), tmp_path / "datasets/their_data")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    Path("datasets/their_data/eval.yaml").write_text(text)
    cfg = load_config("datasets/their_data/eval.yaml", ["MODEL.DEVICE", "cpu"])
    register_datasets(cfg)
    validate_datasets(cfg, training=False)
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 41


@pytest.mark.slow
def test_the_guide_word_for_word(tmp_path):
    label_studio(tmp_path / "datasets/my_export")
    for name in ("configs", "tools", "datasets/prepare_export.py", "train_net.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (bin_folder / "python").chmod(0o755)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(filter(None, paths)),
    }
    found = blocks("bash")
    assert len(found) == 4
    for block in found:
        command = ["bash", "-e", "-c", block]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, block + done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "output/my_try/model_final.pth").is_file()
    assert "<html" in (tmp_path / "output/my_try/report.html").read_text()[:500]
