"""Test the search for image files below a folder, and the suggestions for missing file names."""

import os
import unicodedata

import pytest

from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.data.images.lookup import describe_near, files_below, folded, near_files
from seesaw_d2.errors import DataError

UMLAUT, DECOMPOSED = (unicodedata.normalize(form, "bär.png") for form in ("NFC", "NFD"))


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_hidden_entries_are_apart_at_every_level(tmp_path):
    touch(tmp_path, "__MACOSX/._b.png", "x/@eaDir/a.png/SMALL.jpg", "x/Thumbs.db", "lost+found/a.png")
    touch(tmp_path, "b.png", "._b.png", "x/a.png", "x/.ipynb_checkpoints/a.png", "x/y/._c", ".git/config", "B.png")
    found = files_below(tmp_path)
    assert found.files == ["B.png", "b.png", "x/a.png"]
    system = ["__MACOSX", "lost+found", "x/@eaDir", "x/Thumbs.db"]
    assert found.hidden == sorted([*system, "._b.png", ".git", "x/.ipynb_checkpoints", "x/y/._c"])
    assert files_below(tmp_path, recursive=False) == (["B.png", "b.png"], ["._b.png", ".git", *system[:2]], ["x/"])


def test_links_to_folders_are_followed_once(tmp_path):
    touch(tmp_path, "elsewhere/a.png", "root/b.png")
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "root")
    (tmp_path / "root/broken.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "root/pipe.png")
    found = files_below(tmp_path / "root")
    assert (found.files, found.other) == (["b.png", "link/a.png"], ["broken.png", "pipe.png"])


def test_folders_that_cannot_be_read_are_listed(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "x/b.png")
    scandir = os.scandir

    def refuse(folder):
        if os.fspath(folder).endswith("/x"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert files_below(tmp_path) == (["a.png"], [], ["x/"])


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        files_below(tmp_path / "no")


@pytest.mark.parametrize(
    ("there", "name", "difference"),
    [
        ("a.png", "a.PNG", "case"),
        ("IM_1.JPG", "im_1.jpg", "case"),
        ("a.jpeg", "a.jpg", "extension"),
        ("A.jpeg", "a.jpg", "extension and case"),
        (DECOMPOSED, UMLAUT, "Unicode form"),
        (UMLAUT, DECOMPOSED, "Unicode form"),
        (DECOMPOSED.upper(), UMLAUT, "case and Unicode form"),
        ("0001.jpg", "0001", "extension"),
        ("Train/Set/a.png", "train/set/a.png", "case"),
        (f"{DECOMPOSED[:-4]}/a.png", f"{UMLAUT[:-4]}/a.png", "Unicode form"),
    ],
)
def test_names_that_differ_a_little(tmp_path, there, name, difference):
    touch(tmp_path, there, "another.png")
    missing = str(tmp_path / name)
    near = near_files([missing])
    assert near == {missing: [str(tmp_path / there)]}
    assert f": different {difference})" in describe_near(near)


def test_other_names_are_not_near(tmp_path):
    touch(tmp_path, "frame.0001", "b.png", "c/a.png", "a.png/x")
    names = ["frame.0002", "a.png", "d/a.png", "bb.png"]
    assert near_files(str(tmp_path / name) for name in names) == {}
    assert describe_near({}) == ""
    assert folded("frame.0001") != folded("frame.0002")


def test_a_missing_image_of_a_training_is_said_with_its_near_names(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/b.JPG", "images/b.jpeg")
    names = [str(tmp_path / "images" / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    with pytest.raises(DataError) as error:
        without_missing_images([{"file_name": name} for name in names], ["toy"], skip=False)
    for name in ("b.JPG: different case", "b.jpeg: different extension"):
        assert f"{tmp_path}/images/{name}" in str(error.value)
