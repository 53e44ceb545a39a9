"""Test the folder of the glyph dataset: deterministic, complete or absent, and protected against overwriting."""

import dataclasses
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seesaw_d2.data.synthetic import GlyphConfig, make_glyphs, plain_glyphs
from seesaw_d2.errors import ConfigError, DataError

SCRIPT = Path(__file__).parents[3] / "datasets/prepare_glyphs.py"


@pytest.fixture
def tiny_config():
    return plain_glyphs(
        num_categories=6, num_train_images=80, num_val_images=8, max_category_images=20,
        val_instances_per_category=2,
    )  # fmt: skip


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_same_bytes_with_any_number_of_workers(small_set, small_config, tmp_path):
    make_glyphs(tmp_path / "again", small_config, workers=3)
    first, second = contents(small_set), contents(tmp_path / "again")
    assert len(first) == 130 + 40 + 3
    assert first == second


def test_same_annotations_without_pictures(small_set, small_config, tmp_path):
    make_glyphs(tmp_path / "plain", small_config, workers=1, images=False)
    first, second = contents(small_set), contents(tmp_path / "plain")
    assert not (tmp_path / "plain/images").exists()
    annotations = {name for name in second if name.parts[0] == "annotations"}
    assert len(annotations) == 2
    assert all(first[name] == second[name] for name in annotations)


def test_another_seed_gives_other_data(tiny_config, tmp_path):
    for seed in (0, 1):
        config = dataclasses.replace(tiny_config, seed=seed)
        make_glyphs(tmp_path / str(seed), config, workers=1)
    first, second = contents(tmp_path / "0"), contents(tmp_path / "1")
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_second_call_finds_the_first(small_set, small_config):
    before = contents(small_set)
    for images in (True, False):  # with and without images
        summary = make_glyphs(small_set, small_config, images=images)
        assert not summary.made
        assert summary.seconds < 0.5
        assert summary.images == {"train": 130, "val": 40}
        assert summary.instances["val"] == 4 * 44
        assert sum(summary.frequencies.values()) == 44
    assert contents(small_set) == before


def test_other_settings_need_overwrite(tiny_config, tmp_path):
    root = tmp_path / "glyphs"
    make_glyphs(root, tiny_config, workers=1, images=False)
    other = dataclasses.replace(tiny_config, seed=7)
    before = contents(root)
    with pytest.raises(DataError, match=r"seed is 0 .*7"):
        make_glyphs(root, other, workers=1, images=False)
    with pytest.raises(DataError, match="images is False instead of True"):
        make_glyphs(root, tiny_config, workers=1)
    assert contents(root) == before
    assert make_glyphs(root, other, workers=1, images=False, overwrite=True).made
    assert json.loads((root / "glyphs.json").read_text())["settings"]["seed"] == 7
    assert os.listdir(tmp_path) == ["glyphs"]


def test_missing_part_is_noticed(tiny_config, tmp_path):
    make_glyphs(tmp_path / "glyphs", tiny_config, workers=1, images=False)
    (tmp_path / "glyphs/annotations/glyphs_val.json").unlink()
    with pytest.raises(DataError, match=r"glyphs_val.json is missing"):
        make_glyphs(tmp_path / "glyphs", tiny_config, workers=1, images=False)


@pytest.mark.parametrize("record", [None, "{}", "[1, 2", "[]"])
def test_folder_of_something_else_is_never_replaced(tiny_config, tmp_path, record):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    if record is not None:
        (tmp_path / "glyphs.json").write_text(record)
    with pytest.raises(DataError, match="overwritten"):
        make_glyphs(tmp_path, tiny_config, workers=1, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "chapter 1"


@pytest.mark.parametrize("name", ["notes.txt", "images/train/mine.jpg", "annotations/mine.json", "link"])
def test_other_files_in_the_folder_are_not_removed(tiny_config, tmp_path, name):
    root, other = tmp_path / "glyphs", dataclasses.replace(tiny_config, seed=7)
    make_glyphs(root, tiny_config, workers=1)
    (tmp_path / "elsewhere").mkdir()
    (root / name).symlink_to(tmp_path / "elsewhere") if name == "link" else (root / name).write_text("mine")
    before = contents(root)
    with pytest.raises(DataError, match=name):
        make_glyphs(root, other, workers=1, overwrite=True, progress=lambda *_: pytest.fail("drawn first"))
    assert contents(root) == before
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "glyphs"]


@pytest.mark.parametrize("change", [{"images": 3}, {"megabytes": "x"}, {"frequencies": {"r": 1}}, {"other": 1}])
def test_damaged_records_are_named(tiny_config, tmp_path, change):
    make_glyphs(tmp_path / "glyphs", tiny_config, workers=1, images=False)
    path = tmp_path / "glyphs/glyphs.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "contents": {**record["contents"], **change}}))
    with pytest.raises(DataError, match=r"glyphs\.json"):
        make_glyphs(tmp_path / "glyphs", tiny_config, workers=1, images=False)


def test_a_pipe_as_record(tiny_config, tmp_path):
    os.mkfifo(tmp_path / "glyphs.json")
    with pytest.raises(DataError, match=r"glyphs\.json"):
        make_glyphs(tmp_path, tiny_config, workers=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_interruption_leaves_nothing(tiny_config, tmp_path, workers):
    def interrupt(done, total):
        assert 0 < done < total
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_glyphs(tmp_path / "glyphs", tiny_config, workers=workers, progress=interrupt)
    assert os.listdir(tmp_path) == []


def test_interrupted_overwrite_keeps_the_old(tiny_config, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    root = tmp_path / "glyphs"
    make_glyphs(root, tiny_config, workers=1, images=False)
    before = contents(root)
    with pytest.raises(KeyboardInterrupt):
        make_glyphs(root, GlyphConfig(), workers=1, overwrite=True, progress=interrupt)
    assert contents(root) == before
    assert os.listdir(tmp_path) == ["glyphs"]


def test_progress_reaches_the_total(tiny_config, tmp_path):
    calls = []
    make_glyphs(tmp_path / "glyphs", tiny_config, workers=1, images=False, progress=lambda *call: calls.append(call))
    assert calls == [(32, 88), (64, 88), (80, 88), (88, 88)]


def test_as_many_categories_as_lvis_without_pictures(tmp_path):
    config = plain_glyphs(
        num_categories=1203, num_train_images=1500, num_val_images=250, max_category_images=4,
        val_instances_per_category=1, decay=0.0015, max_neg_categories=20,
    )  # fmt: skip
    make_glyphs(tmp_path / "glyphs", config, images=False)
    for split in ("train", "val"):
        data = json.loads((tmp_path / f"glyphs/annotations/glyphs_{split}.json").read_text(encoding="utf-8"))
        assert {record["category_id"] for record in data["annotations"]} == set(range(1, 1204))
        assert all(len(image["neg_category_ids"]) == 20 for image in data["images"])


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_bad_workers(tiny_config, tmp_path, workers):
    with pytest.raises(ConfigError, match=r"^workers: expected a positive integer"):
        make_glyphs(tmp_path / "glyphs", tiny_config, workers=workers)


def script_main(arguments, monkeypatch):
    """Run the script in this process, and return its exit status."""
    monkeypatch.setattr(signal, "signal", lambda *handler: None)
    return runpy.run_path(str(SCRIPT))["main"](arguments)


def test_script(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--root", "made/glyphs", "--categories", "5", "--train-images", "20", "--val-images", "25"]
    arguments += ["--max-category-images", "9", "--workers", "1"]
    first = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert "5 categories (5 rare, 0 common, 0 frequent)" in first.stdout
    assert len(list((tmp_path / "made/glyphs/images").rglob("*.jpg"))) == 45
    assert not script_main(arguments, monkeypatch)
    assert "exists already" in capsys.readouterr().out
    assert script_main([*arguments, "--seed", "3"], monkeypatch) == 2
    assert "seed is 0 instead of 3" in capsys.readouterr().err


def test_errors_of_the_script_name_options(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert script_main(["--train-images", "60"], monkeypatch) == 2
    message = capsys.readouterr().err
    assert "--train-images: expected at least " in message
    assert "found 60" in message
    assert "--max-objects = 16" in message
    assert os.listdir(tmp_path) == []


def test_killed_script_leaves_nothing(tmp_path):
    command = [sys.executable, str(SCRIPT), "--root", str(tmp_path / "glyphs"), "--workers", "2"]
    process = subprocess.Popen([*command, "--train-images", "20000"])
    deadline = time.monotonic() + 30
    while not any(tmp_path.glob(".glyphs.*/new/images/train/*.jpg")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert os.listdir(tmp_path) == []
