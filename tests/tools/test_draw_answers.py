"""Test the figure of images with the predictions of two classifiers."""

import csv
import os
from pathlib import Path
from types import SimpleNamespace

import draw_answers
import numpy as np
import pytest
from PIL import Image

from seesaw_d2.drawing.classifier_comparison import by_outcome, proportional

LABELS = ["ant", "ant", "ant", "bee", "bee", "cow"]
FIRST = ["ant", "bee", "cow", "bee", "bee", "ant"]
TABLE = b"image,class,called,shots,train_images\n1,dog,cat,few,-3\n"
LAST = ["ant", "ant", "ant", "bee", "ant", "cow"]


def write_run(folder, called, images=None):
    """Write a run on six images. The classes ant and cow have few training images."""
    name = f"answers_{folder.parent.name}"
    test = folder / "inference" / name
    test.mkdir(parents=True)
    data = folder.parent / "data.npz"
    names = np.array(["ant", "bee", "cow"])
    labels = np.array([names.tolist().index(label) for label in LABELS])
    pixels = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8) * 40
    np.savez(data, images=pixels, labels=labels, names=names)
    register = [{"NAME": name, "NPZ": str(data)}]
    (folder / "config.yaml").write_text(f"DATASETS:\n  REGISTER: {register}\n  TEST: ['{name}']\n")
    with open(test / "per_class.csv", "w", newline="") as file:
        rows = [("ant", 3, "few"), ("bee", 200, "many"), ("cow", 7, "few")]
        csv.writer(file).writerows([("class", "train_images", "shots"), *rows])
    with open(test / "predictions.csv", "w", newline="") as file:
        rows = zip(images or range(6), LABELS, called, [0.5] * 6, strict=True)
        csv.writer(file).writerows([("image", "class", "called", "confidence"), *rows])
    return str(folder)


def test_figure_of_few_shot_classes(tmp_path, capsys, monkeypatch):
    runs = [write_run(tmp_path / "ce", FIRST), write_run(tmp_path / "seesaw", LAST)]
    drawn = SimpleNamespace()
    from seesaw_d2.drawing import classifier_comparison

    original = classifier_comparison.draw_answers
    monkeypatch.setattr(
        classifier_comparison,
        "draw_answers",
        lambda sections, *rest: (setattr(drawn, "sections", sections), original(sections, *rest)),
    )
    output = tmp_path / "new/figure.jpg"
    assert draw_answers.main([*runs, "--names", "CE", "Seesaw", "--output", str(output)]) == 0
    assert Image.open(output).size > (500, 100)
    text = capsys.readouterr().out
    assert "only Seesaw is right: 3 of 4 images" in text
    assert "only CE is right: 0 of 4 images" in text
    shown = {title.split(":")[0]: images for title, images in drawn.sections.items()}
    last = shown["only Seesaw is right"]
    assert [(image.label, image.training_images, *image.answers) for image in last] == [
        ("ant", 3, "bee", "ant"),
        ("ant", 3, "cow", "ant"),
        ("cow", 7, "ant", "cow"),
    ]
    assert [int(image.pixels.max()) for image in last] == [40, 80, 200]
    assert shown["only CE is right"] == []


def test_outcomes_in_their_proportion():
    found = by_outcome(LABELS, FIRST, LAST)
    assert found == {"last": [1, 2, 5], "first": [4], "both": [0, 3], "neither": []}
    chosen = proportional({"last": list(range(60)), "first": list(range(100, 130)), "both": [200], "neither": []}, 9)
    assert {name: len(positions) for name, positions in chosen.items()} == {
        "last": 6,
        "first": 3,
        "both": 1,
        "neither": 0,
    }
    assert chosen["last"] == [0, 10, 20, 30, 40, 50]


def test_runs_without_or_with_other_predictions_are_named(tmp_path, capsys):
    first, second = write_run(tmp_path / "a", FIRST), write_run(tmp_path / "b", LAST, images=range(10, 16))
    assert draw_answers.main([first, second, "--output", str(tmp_path / "x.png")]) == 2
    assert second in capsys.readouterr().err
    (tmp_path / f"b/inference/answers_{tmp_path.name}/predictions.csv").unlink()
    assert draw_answers.main([first, second, "--output", str(tmp_path / "x.png")]) == 2
    assert "predictions.csv" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_results_of_other_data_or_settings_are_named(tmp_path, capsys, caplog):
    first, second = (write_run(tmp_path / each, FIRST) for each in "ab")
    results = Path(second, f"inference/answers_{tmp_path.name}")
    (results / "evaluation_settings.json").write_text('{"MODEL.WEIGHTS": ["final.pth", "best.pth"]}')
    assert draw_answers.main([first, second, "--output", str(tmp_path / "x.png")]) == 0
    (message,) = [text for text in caplog.messages if "best.pth" in text]
    assert message.startswith(str(results))
    table = results / "predictions.csv"
    table.write_text(table.read_text().replace("0,ant", "0,cow"))
    assert draw_answers.main([first, second, "--output", str(tmp_path / "y.png")]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in (second, "predictions.csv", "'0'", "'ant'", "'cow'"))
    assert not (tmp_path / "y.png").exists()


def test_a_run_is_not_compared_with_itself(tmp_path, capsys):
    run = write_run(tmp_path / "a", FIRST)
    assert draw_answers.main([run, f"{run}/", "--names", "A", "B", "--output", str(tmp_path / "x.png")]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("runs: ", run))
    assert not (tmp_path / "x.png").exists()


def test_runs_with_other_training_images_are_told(tmp_path, caplog):
    first, second = (write_run(tmp_path / each, FIRST) for each in "ab")
    for found, told in (("cow,7", 0), ("cow,700", 1)):
        table = Path(second, f"inference/answers_{tmp_path.name}/per_class.csv")
        table.write_text(table.read_text().replace("cow,7", found))
        assert draw_answers.main([first, second, "--output", str(tmp_path / "x.png")]) == 0
        assert len(caplog.messages) == told
    assert all(word in caplog.text for word in (second, "per_class.csv", "'cow'", "7 ", "700"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--names", "CE", "CE"], ["--names", "'CE'"]),  # two sections of the figure would have the same title
        (["--shots", "medium"], ["--shots", "medium"]),
        (["--images", "0"], ["--images", "0"]),
    ],
)
def test_wrong_arguments_are_named(tmp_path, capsys, arguments, words):
    runs = [write_run(tmp_path / each, FIRST) for each in "ab"]
    assert draw_answers.main([*runs, *arguments, "--output", str(tmp_path / "x.png")]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("name", ["predictions.csv", "per_class.csv", "config.yaml"])
@pytest.mark.parametrize("content", [b"", b"image,class\n1\n", b"\xff", TABLE, "pipe", "unknown"])
def test_files_of_runs_are_checked(tmp_path, capsys, name, content):
    runs = [write_run(tmp_path / each, FIRST) for each in "ab"]
    for run in runs:
        path = Path(run, name if name == "config.yaml" else f"inference/answers_{tmp_path.name}/{name}")
        text = path.read_text()
        path.unlink()
        if content == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes(text.replace("ant", "elk", 2).encode() if content == "unknown" else content)
    status = draw_answers.main([*runs, "--output", str(tmp_path / "x.png")])
    if (name, content) == ("config.yaml", "unknown"):
        return
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_only_own_pictures_are_replaced(tmp_path, capsys, ending):
    runs, output = [write_run(tmp_path / each, FIRST) for each in "ab"], tmp_path / f"x.{ending}"
    Image.new("RGB", (4, 4)).save(output)
    before = output.read_bytes()
    assert draw_answers.main([*runs, "--output", str(output)]) == 2
    assert f"x.{ending}" in capsys.readouterr().err
    assert output.read_bytes() == before
    output.unlink()
    assert [draw_answers.main([*runs, "--output", str(output)]) for _ in range(2)] == [0, 0]
    assert draw_answers.main([*runs, "--output", str(tmp_path / "x.tmp")]) == 2


@pytest.mark.parametrize("value", ["0", "-3"])
def test_number_of_images(tmp_path, capsys, value):
    assert draw_answers.main(["a", "b", "--output", str(tmp_path / "x.png"), "--images", value]) == 2
    assert "--images" in capsys.readouterr().err
