"""demo.py: images, folders and videos; errors are reported before the model is built."""

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.visualizer import Visualizer
from PIL import Image

from seesaw_d2.arguments import demo_parser
from seesaw_d2.drawing.model_output import READABLE_SIZE, draw_instances
from seesaw_d2.errors import DataError
from seesaw_d2.predict.demo import draw_video, main
from seesaw_d2.predict.image_sources import Video
from seesaw_d2.train import load_config

ROOT = Path(__file__).parents[2]


def test_only_confident_detections_are_drawn():
    image = np.zeros((200, 300, 3), dtype=np.uint8)
    instances = Instances((200, 300))
    instances.pred_boxes = Boxes(torch.tensor([[20.0, 60, 120, 150]]))
    instances.scores, instances.pred_classes = torch.tensor([0.6]), torch.tensor([1])
    groups = np.array([2, 0])
    assert not draw_instances(image, instances, ["a", "b"], groups, min_score=0.7).any()
    rare = draw_instances(image, instances, ["a", "b"], groups)
    frequent = draw_instances(image, instances, ["a", "b"], np.array([0, 2]))
    assert rare.shape == image.shape
    assert rare.any()
    assert (rare != frequent).any()


@pytest.mark.parametrize(("size", "drawn_size"), [((128, 96), (512, 384)), ((30, 1000), (30, 1000))])
def test_small_images_are_enlarged_with_their_boxes_and_masks(size, drawn_size):
    assert str(READABLE_SIZE) in demo_parser().format_help()
    image = np.zeros((*size, 3), dtype=np.uint8)
    box = torch.tensor([[60.0, 4, 90, 28]])
    masks = torch.zeros(1, *size, dtype=torch.bool)
    masks[0, 4:28, 60:90] = True
    found = Instances(size, pred_boxes=Boxes(box.clone()), scores=torch.tensor([0.6]), pred_masks=masks)
    found.pred_classes = torch.tensor([0])
    drawn = draw_instances(image, found, [" "], min_size=READABLE_SIZE)  # no name: the score is the label
    assert drawn.shape[:2] == drawn_size
    factor = drawn_size[0] / size[0]
    x0, y0, x1, y1 = (box[0] * factor).int().tolist()
    assert drawn[(y0 + y1) // 2, (x0 + x1) // 2].any()
    outside = drawn[:, : x0 - 40]
    assert not outside.any()
    assert found.pred_boxes.tensor.equal(box)
    assert draw_instances(image, found, ["a"], min_score=0.7, min_size=READABLE_SIZE).shape == drawn.shape
    assert found.image_size == size


@pytest.mark.parametrize("box", [[250.0, 20, 298, 150], [2.0, 154, 40, 192], [270.0, 180, 299, 199]])
def test_labels_stay_inside_the_picture(box, monkeypatch):
    """A label is as large at the border of the picture as in its middle."""

    def label(at):
        instances = Instances((200, 300), pred_boxes=Boxes(torch.tensor([at])), scores=torch.tensor([0.6]))
        instances.pred_classes = torch.tensor([0])
        monkeypatch.setattr(Visualizer, "draw_box", lambda *args, **options: None)
        drawn = draw_instances(np.full((200, 300, 3), 255, np.uint8), instances, ["a long name"]) != 255
        return (drawn.any(axis=(0, 2)).sum(), drawn.any(axis=(1, 2)).sum())

    width, height = box[2] - box[0], box[3] - box[1]
    np.testing.assert_allclose(label(box), label([100.0, 20, 100 + width, 20 + height]), atol=1)


@pytest.fixture
def arguments(config_file, tmp_path):
    cfg = load_config(str(config_file))
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model.pth")
    return ["--config-file", str(config_file), "--confidence-threshold", "0.0"], [
        *("--opts", "MODEL.WEIGHTS", str(tmp_path / "model.pth"), "TEST.DETECTIONS_PER_IMAGE", "5")
    ]


def test_folder_picture_and_video(arguments, glyphs, tmp_path, capsys):
    first, last = arguments
    folder = glyphs / "images/val"
    names = {path.name for path in folder.iterdir()}
    assert main([*first, "--input", str(folder), "--output", str(tmp_path / "out"), *last]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "6 images written" in capsys.readouterr().out
    mine = tmp_path / "out" / sorted(names)[0]
    mine.write_text("not drawn")
    again = [*first, "--input", str(folder), "--output", str(tmp_path / "out")]
    assert main([*again, *last]) == 2
    assert str(mine) in capsys.readouterr().err
    assert mine.read_text() == "not drawn"
    assert main([*again, "--overwrite", *last]) == 2  # another program's
    assert mine.read_text() == "not drawn"
    mine.unlink()
    mine.symlink_to(tmp_path / "elsewhere.jpg")
    assert main([*again, "--overwrite", *last]) == 2
    mine.unlink()
    assert main([*again, "--overwrite", *last]) == 0
    one = folder / sorted(names)[0]
    assert main([*first, "--input", str(one), "--output", str(tmp_path / "one.png"), *last]) == 0
    drawn, plain = cv2.imread(str(tmp_path / "one.png")), cv2.imread(str(one))
    assert plain.shape == (128, 128, 3)
    assert drawn.shape == (512, 512, 3)
    assert np.abs(drawn.astype(int) - cv2.resize(plain, (512, 512))).max() > 60

    film = str(tmp_path / "film.mp4")
    writer = cv2.VideoWriter(film, cv2.VideoWriter_fourcc(*"mp4v"), 5, (128, 128))
    for _ in range(3):
        writer.write(plain)
    writer.release()
    assert main([*first, "--input", film, "--output", str(tmp_path / "drawn.mp4"), *last]) == 0
    assert cv2.VideoCapture(str(tmp_path / "drawn.mp4")).read()[1].shape == (512, 512, 3)


def test_what_is_an_image_is_decided_by_content(arguments, glyphs, tmp_path, caplog):
    """Skipped files of a folder are logged with reasons, and so are images that are not drawn as they are."""
    first, last = arguments
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    photo = sorted((glyphs / "images/val").iterdir())[0]
    for name in ("a.jfif", "b", "c.JPE", "._d.jpg", "more/e.jpg"):
        shutil.copy(photo, folder / name)
    with Image.open(photo) as image:
        image.save(folder / "f.gif", save_all=True, append_images=[image.rotate(90)])
    (folder / "notes.txt").write_text("no picture")
    with caplog.at_level("WARNING"):
        assert main([*first, "--input", str(folder), "--output", str(tmp_path / "out"), *last]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.jfif.png", "b.png", "c.JPE", "f.gif"}
    passed, several = [line for line in caplog.messages if "more/" in line], [*caplog.messages]
    assert len(passed) == 1
    assert all(name in passed[0] for name in (str(folder), "1 hidden (._d.jpg)", "1 not images (notes.txt)", "more/"))
    assert any("f.gif" in line and "a.jfif" not in line for line in several)


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
    """One line with the argument and an example that the parser accepts."""
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert found in err.split("for example")[0]
    assert err.count("\n") == 1
    assert demo_parser().parse_args(err.split("python demo.py ")[1].split()).opts[0] == "MODEL.WEIGHTS"


def test_weights_are_a_whole_models(arguments, tmp_path, capsys):
    """Missing weights and weights of a backbone are errors. The message has an example."""
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
    """An output file that is an input, has the name of another or an unknown format is an error."""
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
    """OpenCV ends the process, whether they are given or found in a folder."""
    first, last = arguments
    photo = sorted((glyphs / "images/val").iterdir())[0]
    (tmp_path / "in").mkdir()
    shutil.copy(photo, tmp_path / "in" / name)
    for given, output in (
        (tmp_path / "in" / name, tmp_path / "o.png"),
        (tmp_path / "in", tmp_path / "out"),
        (photo, tmp_path / name),
    ):
        if not (name.endswith("mp4") and given == tmp_path / "in"):  # which has no image
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
