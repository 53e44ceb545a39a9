"""demo.py: pictures and videos in, drawn ones out; mistakes named before the model is built."""

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from seesaw_d2.engine import load_config
from seesaw_d2.report.demo import main
from seesaw_d2.report.drawing import draw_instances


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
    assert "6 pictures written" in capsys.readouterr().out
    one = folder / sorted(names)[0]
    assert main([*first, "--input", str(one), "--output", str(tmp_path / "one.png"), *last]) == 0
    drawn, plain = cv2.imread(str(tmp_path / "one.png")), cv2.imread(str(one))
    assert drawn.shape == plain.shape
    assert np.abs(drawn.astype(int) - plain).max() > 60

    film = str(tmp_path / "film.mp4")
    writer = cv2.VideoWriter(film, cv2.VideoWriter_fourcc(*"mp4v"), 5, (128, 128))
    for _ in range(3):
        writer.write(plain)
    writer.release()
    assert main([*first, "--input", film, "--output", str(tmp_path / "drawn.mp4"), *last]) == 0
    assert cv2.VideoCapture(str(tmp_path / "drawn.mp4")).read()[1].shape == (128, 128, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--input", "nowhere"], "--input nowhere: expected a picture"),
        (["--input", "nowhere.mp4"], "cannot be opened as a video"),
        (["--opts"], "MODEL.WEIGHTS: expected the model's weights"),
        (["--opts", "MODEL.WEIGHTS", "nowhere.pth"], "nowhere.pth: no such file"),
        (["--config-file", "nowhere.yaml"], "nowhere.yaml: no such config file"),
    ],
)
def test_wrong_turns(arguments, glyphs, tmp_path, capsys, change, message):
    first, last = arguments
    last = change if change[0] == "--opts" else [*change, *last]
    output = tmp_path / "out"
    assert main([*first, "--input", str(glyphs / "images/val"), "--output", str(output), *last]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_an_output_that_cannot_be_made(arguments, glyphs, tmp_path, capsys):
    first, last = arguments
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "file/out"
    assert main([*first, "--input", str(glyphs / "images/val"), "--output", str(output), *last]) == 2
    assert f"error: {output}: expected a folder, which cannot be made" in capsys.readouterr().err


def test_a_file_that_is_no_picture(arguments, tmp_path, capsys):
    first, last = arguments
    (tmp_path / "text.jpg").write_text("no picture")
    assert main([*first, "--input", str(tmp_path / "text.jpg"), "--output", str(tmp_path / "o.jpg"), *last]) == 2
    assert "text.jpg: cannot be read as a picture" in capsys.readouterr().err
