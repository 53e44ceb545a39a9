"""Test that a downloaded file belongs to its complete address, and that only complete files are kept."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from detectron2.utils.file_io import PathManager

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.downloads import cached_path
from seesaw_d2.weights.file_checks import check_weights_file, download
from tests.utils.download_server import CONTENT, downloads_cache, files, sends, server  # noqa: F401


@pytest.mark.parametrize(
    "path",
    [
        "/../../../up.pth",
        "/x/%2e%2e/%2e%2e/%2e%2e/%2e%2e/up.pth",
        "/..%2f..%2f..%2f..%2fup.pth",
        "//etc/up.pth",
        "/x\\..\\..\\up.pth",
        "/" + "n" * 500 + ".pth",
        "/up.pth?/../../../../up.pth",
        "/..",
        "/.pth",
        "/",
    ],
)
def test_nothing_is_written_outside_the_cache(tmp_path, cache, path):
    with server(sends()) as address:
        found = Path(download(address + path))
    assert found.read_bytes() == CONTENT
    assert files(tmp_path) == [found]
    assert found.resolve().is_relative_to(cache)


def test_a_file_belongs_to_its_whole_address(tmp_path, cache):
    urls = [
        f"{scheme}://{host}/detectron2/a.pkl{query}"
        for scheme in ("http", "https")
        for host in ("a.example", "b.example", "a.example:81", "dl.fbaipublicfiles.com")
        for query in ("", "?v=1", "?v=2")
    ]
    assert len({cached_path(url) for url in urls}) == len(urls)
    assert all(path.endswith("a.pkl") for path in map(cached_path, urls))
    with server(sends(b"first")) as first, server(sends(b"second")) as second:
        assert Path(download(f"{first}/a.pkl")).read_bytes() == b"first"
        assert Path(download(f"{second}/a.pkl")).read_bytes() == b"second"
        assert Path(download(f"{first}/a.pkl")).read_bytes() == b"first"
    # A file at the place where Detectron2's handler stores downloads is not read.
    (cache / "detectron2").mkdir()
    (cache / "detectron2/a.pkl").write_bytes(b"planted")
    assert cached_path("https://dl.fbaipublicfiles.com/detectron2/a.pkl") != str(cache / "detectron2/a.pkl")


BAD = {
    "torn": sends(length=len(CONTENT) + 1),
    "an error": sends(status=404),
    "a part": sends(status=206),
    "nothing": sends(b""),
    "a page": sends(b"<p>", kind="text/html; charset=utf-8"),
    "a page of another type": sends(b"\n<!DOCTYPE html><html>"),
    "no answer": lambda handler: handler.wfile.write(b"hello\r\n\r\n"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_the_file_does_not_stay(tmp_path, name):
    with server(BAD[name]) as address:
        with pytest.raises(WeightsError, match=address):
            check_weights_file(f"{address}/w.pth")
        (tmp_path / "c.yaml").write_text(f"_BASE_: {address}/../../base.yaml")
        with pytest.raises(ConfigError, match=address):
            load_config(str(tmp_path / "c.yaml"))
    assert files(tmp_path) == [tmp_path / "c.yaml"]


def test_several_callers_download_a_file_once(tmp_path):
    asked = []

    def answer(handler):
        asked.append(handler.path)
        time.sleep(0.3)
        sends()(handler)

    with server(answer) as address, concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(download, [f"{address}/w.pth"] * 4))  # each thread has its own lock
    assert asked == ["/w.pth"]
    assert {Path(path).read_bytes() for path in paths} == {CONTENT}
    assert files(tmp_path) == [Path(paths[0])]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_ended_download_leaves_nothing_for_long(tmp_path, number):
    begun = threading.Event()

    def answer(handler):
        sends(length=10**8)(handler)
        if not begun.is_set():
            begun.set()
            time.sleep(20)

    with server(answer) as address:
        process = multiprocessing.get_context("fork").Process(target=download, args=(f"{address}/w.pth",))
        process.start()
        assert begun.wait(20)
        while not files(tmp_path):
            time.sleep(0.02)
        os.kill(process.pid, number)
        process.join(20)
        assert process.exitcode == (143 if number == signal.SIGTERM else -9)
        assert len(files(tmp_path)) == (number == signal.SIGKILL)
        with pytest.raises(WeightsError):
            download(f"{address}/w.pth")
    assert files(tmp_path) == []


def test_what_is_no_file_of_weights_does_not_stay(tmp_path):
    with server(sends(b'{"error": "not found"}')) as address, pytest.raises(WeightsError, match=r"w\.pth"):
        check_weights_file(f"{address}/w.pth")
    assert files(tmp_path) == []


def test_addresses_of_detectron2_use_the_same_cache(tmp_path, monkeypatch):
    torch.save({"model": {}}, tmp_path / "w.pth")
    with server(sends((tmp_path / "w.pth").read_bytes())) as address:
        with PathManager.open(f"{address}/w.pth", "rb") as file:
            assert file.read() == (tmp_path / "w.pth").read_bytes()
        assert PathManager.get_local_path(f"{address}/w.pth") == cached_path(f"{address}/w.pth")
        check_weights_file(f"{address}/w.pth")
        with pytest.raises(OSError, match=address):
            PathManager.open(f"{address}/w.pth", "wb")


def test_local_files_are_regular(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "file").write_text("text")
    for name in ("pipe", "zero"):
        with pytest.raises(OSError, match=name):
            PathManager.open(str(tmp_path / name), "rb")
    with PathManager.open(str(tmp_path / "file")) as file:
        assert file.read() == "text"
    with PathManager.open(str(tmp_path / "new"), "w") as file:
        file.write("text")
