"""Test tools/doctor.py with correct and incorrect jobs, and that it writes nothing."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from doctor import main
from PIL import Image

from seesaw_d2.config.loading import default_config
from seesaw_d2.train.preflight.doctor.disk import number_of_checkpoints

ROOT = Path(__file__).parents[2]


@pytest.fixture
def own(config_file, glyphs, tmp_path):
    """Return a config with its own copy of the data, and the folder of the data."""
    root = tmp_path / "glyphs"
    shutil.copytree(glyphs, root)
    config = yaml.safe_load(config_file.read_text())
    for entry, split in zip(config["DATASETS"]["REGISTER"], ("train", "val"), strict=True):
        entry |= {"NAME": f"{tmp_path.name}_{split}", "JSON": str(root / f"annotations/glyphs_{split}.json")}
        entry["IMAGES"] = str(root / "images")
    config["DATASETS"] |= {"TRAIN": [f"{tmp_path.name}_train"], "TEST": [f"{tmp_path.name}_val"]}
    config_file.write_text(yaml.safe_dump(config))
    return config_file, root


def examine(capsys, config_file, *options, status):
    before = {path: path.stat().st_mtime_ns for path in Path(config_file).parent.rglob("*")}
    assert main(["--config-file", str(config_file), "--workers", "1", *options]) == status
    assert before == {path: path.stat().st_mtime_ns for path in Path(config_file).parent.rglob("*")}
    return capsys.readouterr().out


def to_fix(text: str) -> list[str]:
    return [line.split("FIX", 1)[1].strip() for line in text.splitlines() if line.startswith("  FIX")]


def test_nothing_to_fix(config_file, capsys):
    text = examine(capsys, config_file, status=0)
    assert not to_fix(text)
    for part in (
        f"PyTorch {torch.__version__}",
        "24 images",
        "all 24 images can be decoded",
        "MODEL.WEIGHTS is empty",
        "3 iterations of 4 images",
        "one step on 4 images: loss ",
        "2 checkpoints of about 0.0",
        "no problems to fix",
    ):
        assert part in text
    assert "can be decoded" not in examine(capsys, config_file, "--quick", status=0)


def test_every_bad_image_is_named(own, capsys):
    """Test a truncated image (found only by decoding), one of another size, one invalid, and two missing images."""
    config_file, root = own
    images = sorted((root / "images/train").iterdir())
    images[0].write_bytes(images[0].read_bytes()[:-400])
    Image.new("RGB", (7, 9)).save(images[1])
    images[2].write_bytes(b"")
    images[3].unlink()
    images[4].unlink()
    os.mkfifo(images[4])
    with Image.open(images[5]) as image:
        image.save(images[5], format="TIFF", exif=upside_down())
    found = "\n".join(to_fix(examine(capsys, config_file, "--workers", "2", status=1)))
    problems = ("truncated", "found 7 x 9", "the file is empty", "", "", "EXIF orientation 3")
    for image, problem in zip(images, problems, strict=False):
        assert image.name in found
        assert problem in found
    assert images[6].name not in found
    assert "2 of 24 image files are missing: " in found
    assert "image files that cannot be read (2): " in found
    assert found.count("DATALOADER.SKIP_BAD_IMAGES True") == 2
    for image in (images[1], images[5]):
        image.unlink()
    text = examine(capsys, config_file, "DATALOADER.SKIP_BAD_IMAGES", "True", status=0)
    assert f"note  {config_file.parent.name}_train: image files that cannot be read" in text
    assert "one step on 4 images" in text


def upside_down() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif


@pytest.mark.parametrize("skip", ["True", "False"])
def test_deep_images_are_to_fix_for_an_image_classifier(tmp_path, capsys, skip):
    """Test deep images: an error for image classifiers. The mapper of detectors makes large values white."""
    for name, dtype in (("0", np.uint8), ("1", np.uint16)):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 200, dtype)).save(tmp_path / "set" / name / "x.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "set/0/x.tif", exif=upside_down())  # image classifiers read it correctly
    register = [{"NAME": tmp_path.name, "FOLDER": str(tmp_path / "set")}]
    words = ["MODEL.DEVICE", "cpu", "DATASETS.REGISTER", str(register), "MODEL.CLASSIFIER.NUM_CLASSES", "2"]
    words += ["DATASETS.TRAIN", f"('{tmp_path.name}',)", "DATASETS.TEST", "()", "DATALOADER.SKIP_BAD_IMAGES", skip]
    text = examine(capsys, ROOT / "configs/digits/ce.yaml", *words, status=1)
    assert [str(tmp_path / "set/1/x.png") in line for line in to_fix(text)] == [True]


def test_boxes_that_are_not_those_of_their_masks(own, capsys):
    config_file, root = own
    path = root / "annotations/glyphs_train.json"
    data = json.loads(path.read_text())
    for item in data["annotations"]:
        x, y, width, height = item["bbox"]
        item["bbox"] = [x, y, x + width, y + height]
    path.write_text(json.dumps(data))
    text = examine(capsys, config_file, "--quick", status=0)
    (note,) = [line for line in text.splitlines() if line.startswith(f"  note  {path}")]
    assert "x1, y1, x2, y2" in note
    assert "annotation ids" in note


def test_what_is_wrong_with_the_config_is_said_at_once(own, capsys):
    """Test that each of several mistakes is listed with its key, and that the data is still checked."""
    config_file, root = own
    path = root / "annotations/glyphs_val.json"
    data = json.loads(path.read_text())
    data["annotations"][0]["category_id"] = 99
    path.write_text(json.dumps(data))
    loss = "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"
    wrong = ["SOLVER.IMS_PER_BATCH", "5", "DATALOADER.SAMPLER_TRAIN", "Foo", loss, "SeesawLos"]
    text = examine(capsys, config_file, "--num-processes", "2", "--quick", *wrong, status=1)
    found = to_fix(text)
    for part in ("SOLVER.IMS_PER_BATCH", "DATALOADER.SAMPLER_TRAIN", loss, "glyphs_val.json"):
        assert sum(part in line for line in found) == 1, text
    assert f"{len(found)} problems to fix" in text


def test_images_to_evaluate_on_that_are_trained_on(own, capsys):
    """Test notes about test images that are training images: the same file and, without --quick, a copy."""
    config_file, root = own
    text = examine(capsys, config_file, status=0)
    assert "images of DATASETS.TEST are" not in text
    train, val = (sorted((root / f"images/{split}").iterdir()) for split in ("train", "val"))
    shutil.copy(train[0], val[0])
    val[1].unlink()
    val[1].symlink_to(train[1])
    text = examine(capsys, config_file, "--quick", status=0)
    assert "note  1 of 6 images of DATASETS.TEST" in text
    assert f"{val[1]} (= {train[1]})" in text
    text = examine(capsys, config_file, status=0)
    assert "note  2 of 6 images of DATASETS.TEST" in text
    assert f"{val[0]} (= {train[0]})" in text


def test_a_machine_without_a_gpu(config_file, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    text = examine(capsys, config_file, "--quick", "MODEL.DEVICE", "cuda", status=1)
    (found,) = to_fix(text)
    assert "1 problem to fix\n" in text
    assert found.startswith("MODEL.DEVICE ")
    assert "add MODEL.DEVICE cpu" in found


def test_no_config(tmp_path, capsys):
    assert main(["--config-file", str(tmp_path / "none.yaml")]) == 1
    (line,) = to_fix(capsys.readouterr().out)
    assert line.startswith(f"{tmp_path / 'none.yaml'}: ")


def test_weights(config_file, tmp_path, capsys):
    """Test the lists of loaded and other parameters, with reasons, and the error for an invalid file."""
    from detectron2.modeling import build_model

    from seesaw_d2.train import load_config

    state = build_model(load_config(str(config_file))).state_dict()
    total, gone, other = (
        len(state),
        "roi_heads.box_predictor.bbox_pred.bias",
        "roi_heads.box_predictor.cls_score.weight",
    )
    del state[gone]
    state[other] = state[other][1:]
    torch.save({"model": {**state, "mine": torch.ones(1)}}, tmp_path / "w.pth")
    text = examine(capsys, config_file, "--quick", "MODEL.WEIGHTS", str(tmp_path / "w.pth"), status=0)
    assert f"{total - 2} of {total} parameters and buffers come from" in text
    assert f"the file does not have them: {gone}\n" in text, text
    assert f"they have another shape in the file: {other}\n" in text
    assert "only the file has: mine\n" in text
    state[other].fill_(torch.nan)
    torch.save({"model": {other: torch.full((8, 256), torch.nan)}}, tmp_path / "w.pth")
    found = to_fix(examine(capsys, config_file, "--quick", "MODEL.WEIGHTS", str(tmp_path / "w.pth"), status=1))
    assert len(found) == 1
    assert "expected finite weights" in found[0]


def test_a_step_that_fails(config_file, capsys):
    (found,) = to_fix(examine(capsys, config_file, "--quick", "MODEL.PIXEL_STD", "[0.0, 0.0, 0.0]", status=1))
    assert "not finite" in found or "Inf/NaN" in found


def test_disk(config_file, tmp_path, capsys, monkeypatch):
    import seesaw_d2.train.preflight.doctor.disk as disk

    usage = disk.shutil.disk_usage
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage(path)._replace(free=1000))
    found = to_fix(examine(capsys, config_file, "--quick", status=1))
    assert len(found) == 1
    assert "are free in" in found[0]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.json").write_text("{}")
    text = examine(capsys, config_file, "--quick", status=1)
    (line,) = [line for line in text.splitlines() if str(tmp_path / "run") in line and "--resume" in line]
    assert line.startswith("  note")
    assert len(to_fix(text)) == 1


@pytest.mark.parametrize(("keep", "best", "count"), [(0, "", 5), (2, "", 3), (9, "", 5), (2, "bbox/AP", 4)])
def test_number_of_checkpoints(keep, best, count):
    cfg = default_config()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.CHECKPOINT_PERIOD = 100, 25
    cfg.SOLVER.CHECKPOINT_KEEP, cfg.SOLVER.CHECKPOINT_BEST = keep, best
    assert number_of_checkpoints(cfg) == count


def test_weights_and_folder_are_checked_although_the_data_are_wrong(own, tmp_path, capsys):
    config_file, root = own
    sorted((root / "images/train").iterdir())[0].unlink()
    (tmp_path / "run").write_text("a file in place of the folder")
    gone = str(tmp_path / "gone.pth")
    found = to_fix(examine(capsys, config_file, "--quick", "MODEL.WEIGHTS", gone, status=1))
    for part in ("image files are missing", "gone.pth", str(tmp_path / "run")):
        assert sum(part in line for line in found) == 1, found


def test_data_sets_that_are_not_registered(config_file, capsys):
    names = ("DATASETS.TRAIN", "('gone_train',)", "DATASETS.TEST", "('gone_val',)")
    found = to_fix(examine(capsys, config_file, "--quick", *names, status=1))
    assert [line.split(":")[0] for line in found] == ["DATASETS.TRAIN", "DATASETS.TEST"]
    for line, name in zip(found, ("gone_train", "gone_val"), strict=True):
        assert name in line
        assert "DATASETS.REGISTER" in line
