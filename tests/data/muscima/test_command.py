"""Test datasets/prepare_muscima.py, and its crops as a dataset of labelled images."""

import re
import runpy
from pathlib import Path

import pytest

from seesaw_d2.data.classification.sources import parse_labelled_images
from tests.data.muscima.written import write_source

ROOT = Path(__file__).parents[3]
OPTIONS = ["--leave-out", "staff", "staffSpace", "--workers", "2"]


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(ROOT / "datasets/prepare_muscima.py"))["main"]


def test_crops(tmp_path, main, capsys):
    source = write_source(tmp_path / "muscima")
    assert main([str(source), "--crops", "--output", str(tmp_path / "crops"), *OPTIONS]) == 0
    out = capsys.readouterr().out
    assert "CC BY-NC-SA" in out
    assert "ICDAR 2017" in out
    entry = {
        part: parse_labelled_images({"NAME": part, "NPZ": str(tmp_path / f"crops/{part}.npz")}, "R[0]")
        for part in ("train", "test")
    }
    assert entry["train"].class_names() == ["fClef", "gClef", "noteheadHalf", "stem"]
    labels = {name: [r["annotations"][0]["category_id"] for r in value.load()] for name, value in entry.items()}
    assert labels == {"train": [2, 3, 1, 3], "test": [2, 3, 2, 3]}  # fClef has no training crop
    note, stem, *_ = (record["array"] for record in entry["train"].load())
    assert note.shape == (32, 32, 3)
    # The crop is 5.2 pixels wide. It shows a ring 4 pixels wide with a hole of 2 pixels, in the center.
    assert (note[16, 16] > 250).all()
    assert (note[16, 6] < 30).all()
    assert (note[0, 0] > 250).all()
    # The crop of the stem, 2 x 20 pixels, is 26 pixels wide, and also shows the staff three pixels below the stem.
    assert (stem[16, 16] < 128).all()
    columns = (stem[..., 0] < 128).sum(axis=0)
    assert columns[16] > 20


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--crops", "--tile", "64"], "--tile.*64"),
        (["--crop-size", "64"], "--crop-size.*64"),
        (["--official", "--fold", "0"], "--fold.*0"),
        (["--scale", "2"], "--scale.*2"),
        (["--overlap", "256"], "--overlap.*256"),
        (["--visible", "0"], "--visible.*0"),
        (["--crops", "--context", "0.5"], r"--context.*0\.5"),
        (["--fold", "7"], "--fold.*7"),
        (["--images", "nowhere"], "--images.*nowhere"),
    ],
)
def test_wrong_options(tmp_path, main, capsys, options, found):
    source = write_source(tmp_path / "muscima")
    assert main([str(source), "--output", str(tmp_path / "made"), *options, *OPTIONS]) == 2
    captured = capsys.readouterr().err
    assert len(captured.splitlines()) == 1
    assert re.search(found, captured)
    assert not (tmp_path / "made").exists()


def test_what_is_there_is_not_replaced(tmp_path, main, capsys):
    source = write_source(tmp_path / "muscima")
    (tmp_path / "made").mkdir()
    (tmp_path / "made/thesis.txt").write_text("x")
    assert main([str(source), "--output", str(tmp_path / "made"), "--overwrite", *OPTIONS]) == 2
    assert (tmp_path / "made/thesis.txt").read_text() == "x"
