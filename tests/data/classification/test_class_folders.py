"""Test the key FOLDER: images are recognized by content, and a warning lists skipped files."""

import logging
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from seesaw_d2.data import register_datasets
from seesaw_d2.data.classification.class_folders import read_folder
from seesaw_d2.data.classification.sources import parse_labelled_images
from seesaw_d2.data.classification.validation import validate_labelled_images
from seesaw_d2.data.images import scanning
from seesaw_d2.data.images.scanning import scan_folder
from seesaw_d2.errors import DataError
from seesaw_d2.train import load_config
from seesaw_d2.utils import messages
from tests.shared import shared_path


@pytest.fixture
def said(monkeypatch, caplog):
    monkeypatch.setattr(messages, "_already_logged", set())
    caplog.set_level(logging.WARNING)
    return lambda: " ".join(caplog.messages)


def save(folder, name, form="PNG", mode="RGB"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (4, 3)).save(folder / name, format=form)


IMAGES = {
    **{f"a.{end}": "JPEG" for end in ("jfif", "jpe", "JPG", "old", "2019")},
    "b.gif": "GIF",
    "b.ico": "ICO",
    "b.tga": "TGA",
    "b.jp2": "JPEG2000",
    "b.pcx": "PCX",
    "b": "PNG",
    "c.png.bak": "BMP",
    "d.pbm": "PPM",
    "d.avif": "AVIF",
    "ä ö.dat": "WEBP",
}


@pytest.mark.parametrize(("name", "form"), IMAGES.items())
def test_whatever_the_decoder_reads_is_an_image(tmp_path, said, name, form):
    save(tmp_path, f"cat/{name}", form)
    save(tmp_path, "dog/x.png")
    assert read_folder(str(tmp_path), None).files == [f"{tmp_path}/cat/{name}", f"{tmp_path}/dog/x.png"]
    assert said() == ""


def test_classes_have_the_order_of_torchvision(tmp_path):
    """Test names that begin with another name, followed by a character before or after "/" (the end of a folder)."""
    for name in ("cat", "cat 2", "cat-red", "cat.x", "cat_a", "Cat", "2", "10"):
        save(tmp_path, f"{name}/{name}.png")
    found, expected = read_folder(str(tmp_path), None), ImageFolder(str(tmp_path))
    assert list(found.names) == expected.classes
    assert dict(zip(found.files, found.labels.tolist(), strict=True)) == dict(expected.samples)


@pytest.mark.parametrize(
    ("names", "noted"), [("0 1 2", False), ("0 1 10 2", True), ("00 02 10", False), ("9 10", True), ("9 10 a", False)]
)
def test_numbers_in_alphabetical_order(tmp_path, said, names, noted):
    for name in names.split():
        save(tmp_path, f"{name}/x.png")
    read_folder(str(tmp_path), None)
    assert ("'10'" in said()) == noted
    read_folder(str(tmp_path), names.split())
    assert said().count("'10'") == noted


def test_what_is_passed_over_is_counted_with_its_reason(tmp_path, said):
    save(tmp_path, "cat/1.png")
    for name in ("cat/._1.png", "cat/.ipynb_checkpoints/1-checkpoint.png", "cat/deep/@eaDir/1.png/S.jpg"):
        save(tmp_path, name, "JPEG")
    for name in (".git/a.png", "__MACOSX/cat/._1.png", "loose.png", "dog/2.png"):
        save(tmp_path, name)
    (tmp_path / "cat/labels.txt").write_text("1")
    (tmp_path / "cat/empty").touch()
    (tmp_path / "cat/drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "dog/features.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    os.mkfifo(tmp_path / "dog/pipe")
    found = read_folder(str(tmp_path), None)
    assert (found.names, found.labels.tolist()) == (("cat", "dog"), [0, 1])
    text = said()
    assert str(tmp_path) in text
    assert all(
        part in text for part in ("5 hidden", "4 not images", "1 not regular files (dog/pipe)", "1 not in a class's")
    )
    assert all(name in text for name in ("cat/._1.png", "__MACOSX", "drawing.eps", "features.h5", "loose.png"))


def test_links_to_nothing_are_missing_images(tmp_path):
    save(tmp_path, "cat/1.png")
    (tmp_path / "cat/2.jpg").symlink_to(tmp_path / "gone.jpg")
    assert read_folder(str(tmp_path), None).files == [f"{tmp_path}/cat/1.png", f"{tmp_path}/cat/2.jpg"]


def test_links_between_classes_are_images_of_both(tmp_path):
    save(tmp_path, "cat/1.png")
    (tmp_path / "dog").symlink_to(tmp_path / "cat")
    assert read_folder(str(tmp_path), None).labels.tolist() == [0, 1]


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    save(tmp_path, "cat/1.png")
    save(tmp_path, "cat/more/2.png")
    scandir = os.scandir

    def refuse(folder):
        if os.fspath(folder).endswith("more"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cat: .*more/"):
        read_folder(str(tmp_path), None)


def test_usual_extensions_are_not_opened(tmp_path, monkeypatch):
    """Test that files with usual extensions are not opened, because ImageNet has 1.3 million files."""
    for name in ("1.JPEG", "2.png", "3.dat"):
        save(tmp_path, name)
    opened = []
    monkeypatch.setattr(scanning, "is_image", lambda path: opened.append(os.path.basename(path)) or True)
    assert scan_folder(str(tmp_path)).images == ["1.JPEG", "2.png", "3.dat"]
    assert opened == ["3.dat"]


def test_a_class_in_another_unicode_form_is_named(tmp_path):
    name = unicodedata.normalize("NFD", "Bär")
    save(tmp_path, f"{name}/1.png")
    with pytest.raises(DataError) as error:
        read_folder(str(tmp_path), [unicodedata.normalize("NFC", name), "cat"])
    assert all(repr(unicodedata.normalize(form, name)) in str(error.value) for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("array", "form"), [(np.full((3, 4), 40000, np.uint16), "PNG"), (np.ones((3, 4)), "TIFF")])
def test_deep_images_are_refused_before_a_training(tmp_path, array, form):
    save(tmp_path / "set", "cat/1.png")
    Image.fromarray(array.astype("f4" if form == "TIFF" else array.dtype)).save(tmp_path / "set/cat/2.png", format=form)
    cfg = load_config(str(Path(__file__).parents[3] / "configs/digits/ce.yaml"))
    cfg.DATASETS.REGISTER = [{"NAME": f"deep_{form}", "FOLDER": str(tmp_path / "set")}]
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (f"deep_{form}",), ()
    register_datasets(cfg)
    with pytest.raises(DataError, match=r"2\.png"):
        validate_labelled_images(cfg)


def test_folders_of_other_jpeg_names():
    folder = shared_path("reports/class_folders_jfif")
    for split, counts in (("train", [6, 6, 6]), ("val", [2, 2, 2])):
        found = read_folder(str(folder / split), None)
        assert (np.bincount(found.labels).tolist(), found.names) == (counts, ("box", "disc", "wedge"))


@pytest.mark.parametrize(
    ("names", "refused", "noted"),
    [
        (["train/cat/1.png", "train/dog/1.png", "val/cat/2.png"], True, ["train"]),
        (["Train/cat/1.png", "valid/cat/1.png", "README/1.png"], True, ["Train", "valid"]),
        (["train2017/cat/1.png"], True, ["train2017"]),
        (["train_images/cat/1.png", "Test Set/cat/1.png"], True, ["train_images", "Test Set"]),
        (["fold1/cat/1.png", "fold2/cat/1.png"], True, ["fold1", "fold2"]),
        (["images/train/cat/1.png", "images/val/cat/2.png"], True, ["images/train", "images/val"]),
        (["train/1.png", "test/1.png"], False, ["train", "test"]),
        (["train/left/1.png", "bus/1.png", "tram/1.png"], False, ["train"]),
        (["cat/train/1.png", "cat/val/2.png", "dog/3.png"], False, ["cat/train", "cat/val"]),
        (["train/1.png", "bus/1.png", "tester/1.png", "fold/2.png"], False, []),
        (["cat/1.png", "Cat/1.png", "emu  x/1.png", "Emu x/1.png"], False, ["'Cat' and 'cat'", "'emu  x'"]),
    ],
)
def test_names_of_splits_and_similar_names(tmp_path, said, names, refused, noted):
    for name in names:
        save(tmp_path, name)
    entry = parse_labelled_images({"NAME": "x", "FOLDER": str(tmp_path)}, "R[0]")
    if refused:
        with pytest.raises(DataError) as error:
            entry.load()
        text = str(error.value)
    else:
        assert len(entry.load()) == len(names)
        text = said()
    assert (str(tmp_path) in text) == bool(noted)
    assert all(name in text for name in noted)
