"""Test that pipes, devices, sockets and folders raise errors wherever a file is opened, also during training."""

import os
import socket
import threading

import numpy as np
import pytest
from detectron2.data import DatasetMapper
from PIL import Image

from seesaw_d2.data.classification.mapper import read_rgb
from seesaw_d2.data.images.headers import read_header
from seesaw_d2.data.images.mapper import CheckedMapper, ReplacingMapper, UnreadableImageError
from seesaw_d2.data.records.semantic import read_label_map
from seesaw_d2.predict.image_sources import read_image
from seesaw_d2.utils.regular_files import open_regular
from tests.robustness.corpus import time_limit


def a_socket(path):
    socket.socket(socket.AF_UNIX).bind(str(path))


KINDS = {
    "pipe": os.mkfifo,
    "directory": os.mkdir,
    "device": lambda path: os.symlink("/dev/zero", path),
    "socket": a_socket,
}
READERS = [
    read_rgb,
    read_image,
    lambda path: read_label_map(path, 3, 255),
    open_regular,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read", READERS)
def test_refused(tmp_path, monkeypatch, kind, read):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    KINDS[kind]("file")
    with time_limit(5), pytest.raises((OSError, ValueError), match=kind if kind != "socket" else "file"):
        read("file")
    assert isinstance(read_header("file", (None, None)).size, Exception)


@pytest.mark.parametrize("mapper", [CheckedMapper, ReplacingMapper])
def test_an_image_that_becomes_a_pipe(tmp_path, mapper):
    paths = [str(tmp_path / f"{index}.png") for index in range(2)]
    for path in paths:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    records = [{"file_name": path, "width": 4, "height": 4, "image_id": index} for index, path in enumerate(paths)]
    made = DatasetMapper(is_train=False, augmentations=[], image_format="BGR")
    mapped = mapper(made) if mapper is CheckedMapper else mapper(made, records[1:])
    assert mapped(dict(records[0]))["image"].shape == (3, 4, 4)
    os.unlink(paths[0])
    os.mkfifo(paths[0])
    with time_limit(5):
        if mapper is ReplacingMapper:
            assert mapped(dict(records[0]))["file_name"] == paths[1]
        else:
            with pytest.raises(UnreadableImageError, match=r"0\.png.*pipe"):
                mapped(dict(records[0]))


def test_regular_files_are_opened_as_by_open(tmp_path):
    (tmp_path / "text").write_text("ä\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "text")
    with open_regular(tmp_path / "link", encoding="utf-8") as file:
        assert file.read() == "ä\n"
        assert os.get_blocking(file.fileno())
    with open_regular(tmp_path / "new", "a+") as file:
        file.write("x")
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_a_pipe_with_a_writer_is_refused_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: open(tmp_path / "pipe", "w").close(), daemon=True)
    writer.start()
    with time_limit(5), pytest.raises(OSError, match="pipe"):
        open_regular(tmp_path / "pipe")
    writer.join(1)
