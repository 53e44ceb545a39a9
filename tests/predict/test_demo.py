"""Test demo.py with images, folders and videos, and its errors before the model is built."""

import shutil

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.visualizer import Visualizer
from PIL import Image

from seesaw_d2.arguments import demo_parser
from seesaw_d2.data import register_datasets
from seesaw_d2.drawing.model_output import READABLE_SIZE, draw_instances
from seesaw_d2.predict.demo import main, painter
from seesaw_d2.predict.score_limit import warn_of_threshold
from seesaw_d2.train import load_config


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
    drawn = draw_instances(image, found, [" "], min_size=READABLE_SIZE)  # no name: the label is the score
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
    """Test that a label at the border of the picture is as large as a label in the middle."""

    def label(at):
        instances = Instances((200, 300), pred_boxes=Boxes(torch.tensor([at])), scores=torch.tensor([0.6]))
        instances.pred_classes = torch.tensor([0])
        monkeypatch.setattr(Visualizer, "draw_box", lambda *args, **options: None)
        drawn = draw_instances(np.full((200, 300, 3), 255, np.uint8), instances, ["a long name"]) != 255
        return (drawn.any(axis=(0, 2)).sum(), drawn.any(axis=(1, 2)).sum())

    width, height = box[2] - box[0], box[3] - box[1]
    np.testing.assert_allclose(label(box), label([100.0, 20, 100 + width, 20 + height]), atol=1)


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
    assert main([*again, "--overwrite", *last]) == 2  # the file of another program is not replaced
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


def test_one_stage_detectors_have_frequency_groups(config_file, monkeypatch):
    """Test the groups of a model whose number of categories is not in MODEL.ROI_HEADS.NUM_CLASSES."""
    names, drawn = [str(index) for index in range(6)], []
    words = ["MODEL.META_ARCHITECTURE", "LongTailRetinaNet", "MODEL.RETINANET.NUM_CLASSES", "6"]
    cfg = load_config(str(config_file), [*words, "MODEL.ROI_HEADS.NUM_CLASSES", "80"])
    register_datasets(cfg)
    monkeypatch.setattr("seesaw_d2.predict.demo.draw_instances", lambda *args: drawn.append(args) or args[0])

    def predictor(images):
        return (Instances((8, 8)) for _ in images)

    predictor.class_names, predictor.unknown_data = names, ""
    assert len(list(painter(cfg, predictor, 0.5)([np.zeros((8, 8, 3), np.uint8)]))) == 1
    (_, _, found, groups, *_) = drawn[0]
    assert found == names
    assert len(groups) == 6


@pytest.mark.parametrize(
    ("architecture", "key"),
    [("GeneralizedRCNN", "MODEL.ROI_HEADS"), ("LongTailRetinaNet", "MODEL.RETINANET")],
)
def test_a_threshold_below_that_of_the_model_is_told(caplog, architecture, key):
    cfg = load_config("", ["MODEL.META_ARCHITECTURE", architecture, f"{key}.SCORE_THRESH_TEST", "0.3"])
    warn_of_threshold(cfg, 0.3)
    assert not caplog.messages
    warn_of_threshold(cfg, 0.1)
    (message,) = caplog.messages
    assert all(word in message for word in ("--confidence-threshold 0.1", f"{key}.SCORE_THRESH_TEST", "0.3"))


def test_a_model_that_a_gpu_trained_in_float16(arguments, glyphs, tmp_path):
    first, last = arguments
    image = sorted((glyphs / "images/val").iterdir())[0]
    given = [*first, "--input", str(image), "--output", str(tmp_path / "one.png"), *last]
    assert main([*given, "MODEL.DEVICE", "cpu", "SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "float16"]) == 0


def test_what_is_an_image_is_decided_by_content(arguments, glyphs, tmp_path, caplog):
    """Test that skipped files of a folder, and images that are drawn differently, are logged with reasons."""
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
