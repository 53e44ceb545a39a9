"""Test that demo.py reports errors before it builds the model, and replaces no files of other programs."""

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from seesaw_d2.arguments import demo_parser
from seesaw_d2.errors import ConfigError, DataError, OutputError
from seesaw_d2.predict.demo import draw_video, image_targets, main
from seesaw_d2.predict.image_sources import Video, VideoWriter
from seesaw_d2.utils.messages import collected_warnings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (["--input", "nowhere"], "--input nowhere:"),
        (["--input", str(ROOT / "docs/api")], f"--input {ROOT / 'docs/api'}:"),
        (["--input", str(ROOT / "README.md")], "README.md:"),
        (["--confidence-threshold", "7"], "--confidence-threshold: expected a number from 0 to 1, found 7.0"),
        (["--confidence-threshold", "nan"], "--confidence-threshold: expected a number from 0 to 1, found nan"),
        (["--input", "nowhere.mp4"], "--input nowhere.mp4:"),
        (["--opts"], "MODEL.WEIGHTS:"),
        (["--opts", "MODEL.WEIGHTS", "nowhere.pth"], "nowhere.pth:"),
        (["--config-file", "nowhere.yaml"], "nowhere.yaml:"),
        (["--opts", "MODEL.WEIGHTS", "m.pth", "MODEL.ROI_HEADS.CALIBRATION.GAMMA", "0.3"], "CALIBRATION.GAMMA "),
    ],
)
def test_wrong_turns(arguments, glyphs, tmp_path, capsys, change, found):
    first, last = arguments
    last = change if change[0] == "--opts" else [*change, *last]
    output = tmp_path / "out"
    assert main([*first, "--input", str(glyphs / "images/val"), "--output", str(output), *last]) == 2
    assert found in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--input", "a.png", "--output", "o"], "--config-file"),
        (["--config-file", "c.yaml", "--output", "o"], "--input"),
        (["--config-file", "c", "--input", "a", "--output", "o", "MODEL.WEIGHTS", "m.pth"], "MODEL.WEIGHTS m.pth: "),
        (["--config-file", "c", "--input", "a", "--output", "o", "--batch-size", "x"], "--batch-size: "),
    ],
)
def test_arguments_that_are_missing_or_unknown(words, found, capsys):
    """Test that the error is one line with the argument, and an example that the parser accepts."""
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert found in err.split("for example")[0]
    assert err.count("\n") == 1
    assert demo_parser().parse_args(err.split("python demo.py ")[1].split()).opts[0] == "MODEL.WEIGHTS"


def test_weights_are_a_whole_models(arguments, tmp_path, capsys):
    """Test errors for missing weights and for weights of a backbone. The message contains an example."""
    (_, config_file, *_), _ = arguments
    words = ["--config-file", config_file, "--input", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert all(text in error for text in ("MODEL.WEIGHTS: ", "found ''", "--opts MODEL.WEIGHTS path", "python"))
    for weights in ("torchvision://resnet50", "detectron2://ImageNetPretrained/MSRA/R-50.pkl"):
        assert main([*words, "--opts", "MODEL.WEIGHTS", weights]) == 2
        assert f" {weights}. " in capsys.readouterr().err


def test_data_is_not_needed(arguments, glyphs, tmp_path, capsys):
    first, last = arguments
    one = sorted((glyphs / "images/val").iterdir())[0]
    gone = ["DATASETS.REGISTER", "[{'NAME': 'gone', 'JSON': 'gone.json', 'IMAGES': '.'}]"]
    gone += ["DATASETS.TRAIN", "('gone',)", "DATASETS.TEST", "('gone',)"]
    assert main([*first, "--input", str(one), "--output", str(tmp_path / "one.png"), *last, *gone]) == 0
    assert "DATASETS.REGISTER[0]" in capsys.readouterr().out
    drawn, plain = cv2.imread(str(tmp_path / "one.png")), cv2.resize(cv2.imread(str(one)), (512, 512))
    assert np.abs(drawn.astype(int) - plain).max() > 60


def test_nothing_is_drawn_over(arguments, glyphs, tmp_path, capsys):
    """Test errors for output files that are inputs, have equal names, or have an unknown format."""
    first, last = arguments
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(sorted((glyphs / "images/val").iterdir())[0], tmp_path / name / "1.png")
    before = (tmp_path / "a/1.png").read_bytes()
    inputs = [str(tmp_path / name / "1.png") for name in ("a", "b")]
    for given, output, message in (
        (inputs[:1], tmp_path / "a", inputs[0]),
        (inputs[:1], inputs[0], f"--output {inputs[0]}: "),
        (inputs, tmp_path / "out", f"{inputs[0]} and {inputs[1]}"),
        (inputs[:1], tmp_path / "o.xyz", f"--output {tmp_path}/o.xyz: "),
    ):
        assert main([*first, "--input", *given, "--output", str(output), *last]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "a/1.png").read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_a_video_into_a_folder_that_is_not_there(arguments, tmp_path, capsys):
    first, last = arguments
    film = str(tmp_path / "film.mp4")
    writer = cv2.VideoWriter(film, cv2.VideoWriter_fourcc(*"mp4v"), 5, (128, 128))
    writer.write(np.full((128, 128, 3), 90, dtype=np.uint8))
    writer.release()
    assert main([*first, "--input", film, "--output", str(tmp_path / "new/drawn.mp4"), *last]) == 0
    assert cv2.VideoCapture(str(tmp_path / "new/drawn.mp4")).read()[0]
    assert main([*first, "--input", film, "--output", film, *last]) == 2
    assert f"--output {film}: " in capsys.readouterr().err


def test_a_video_that_was_not_drawn_to_its_end_is_not_there(tmp_path):
    def interrupted(frames):
        yield np.zeros((64, 64, 3), dtype=np.uint8)
        raise KeyboardInterrupt

    target = tmp_path / "drawn.mp4"
    target.write_text("another one")
    with pytest.raises(KeyboardInterrupt):
        draw_video(SimpleNamespace(rate=5, length=2), str(target), interrupted)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("drawn.mp4", "another one")]


def test_drawings_of_gray_formats():
    """Test that drawings of PGM images are PNG files, because PGM files have no colors."""
    targets = image_targets(["in/a.pgm", "in/b.PBM", "in/c.ppm", "in/d"], "out")
    assert targets == ["out/a.pgm.png", "out/b.PBM.png", "out/c.ppm", "out/d.png"]
    with pytest.raises(ConfigError, match=r"--output out\.pgm: expected .* in colors, .* found '\.pgm'"):
        image_targets(["in/a.png"], "out.pgm")


def test_a_truncated_video(tmp_path):
    """Test that a video with fewer frames than its header states gives a warning, and one without frames an error."""
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for seed in range(10):
        writer.write(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    with collected_warnings() as warnings:
        assert len(list(Video(str(film)))) == 10
        assert warnings == []
        film.write_bytes(film.read_bytes()[: film.stat().st_size * 6 // 10])
        count = len(list(Video(str(film))))
    assert 1 < count < 10
    (text,) = warnings
    assert text.startswith(f"--input {film}: only the first {count} frames are drawn")
    empty = Video(str(film))
    while empty._capture.read()[0]:
        pass
    with pytest.raises(DataError, match=f"{film}: expected a video, found no frame"):
        list(empty)


def test_an_output_that_cannot_be_made(arguments, glyphs, tmp_path, capsys):
    first, last = arguments
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "file/out"
    assert main([*first, "--input", str(glyphs / "images/val"), "--output", str(output), *last]) == 2
    assert f"error: {output}: " in capsys.readouterr().err


def test_a_file_that_is_no_picture(arguments, tmp_path, capsys):
    first, last = arguments
    (tmp_path / "text.jpg").write_text("no picture")
    assert main([*first, "--input", str(tmp_path / "text.jpg"), "--output", str(tmp_path / "o.jpg"), *last]) == 2
    assert "text.jpg: " in capsys.readouterr().err


def test_pictures_are_looked_at_before_one_is_drawn(arguments, glyphs, tmp_path, capsys):
    first, last = arguments
    (tmp_path / "in").mkdir()
    shutil.copy(next((glyphs / "images/val").iterdir()), tmp_path / "in/a.jpg")
    (tmp_path / "in/b.jpg").write_bytes(b"")
    assert main([*first, "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), *last]) == 2
    err = capsys.readouterr().err
    assert "1 of 2 " in err
    assert str(tmp_path / "in/b.jpg") in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["\udcff.png", "\udcff.mp4"])
def test_names_that_are_not_utf8(arguments, glyphs, tmp_path, capsys, name):
    """Test errors for names that are not UTF-8, as arguments and in folders. OpenCV would terminate the process."""
    first, last = arguments
    photo = sorted((glyphs / "images/val").iterdir())[0]
    (tmp_path / "in").mkdir()
    shutil.copy(photo, tmp_path / "in" / name)
    for given, output in (
        (tmp_path / "in" / name, tmp_path / "o.png"),
        (tmp_path / "in", tmp_path / "out"),
        (photo, tmp_path / name),
    ):
        if not (name.endswith("mp4") and given == tmp_path / "in"):  # the folder has no image in this case
            assert main([*first, "--input", str(given), "--output", str(output), *last]) == 2
            assert "\\udcff" in capsys.readouterr().err


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)], ids=["fifo", "folder", "device"]
)
def test_a_video_is_a_regular_file(tmp_path, make, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda path: pytest.fail("opened"))
    make(tmp_path / "film.mp4")
    for path in (str(tmp_path / "film.mp4"), str(tmp_path / "none.mp4"), "http://localhost:1/film.mp4"):
        with pytest.raises(DataError, match=re.escape(path)):
            Video(path)


@pytest.mark.parametrize("found", ["full disk", "no frames"])
def test_a_video_that_cannot_be_written(small_disk, monkeypatch, found):
    """OpenCV prints an error, but raises none."""
    writer, random = VideoWriter(str(small_disk / "drawn.mp4"), 25), np.random.default_rng(0)
    for _ in range(30 if found == "full disk" else 1):
        writer.write(random.integers(0, 256, (480, 640, 3), dtype=np.uint8))
    if found == "no frames":
        monkeypatch.setattr(cv2, "VideoCapture", lambda path: SimpleNamespace(read=lambda: (False, None)))
    with pytest.raises(OutputError, match=rf"{small_disk / 'drawn.mp4'}: "):
        writer.close()
    assert list(small_disk.iterdir()) == []
