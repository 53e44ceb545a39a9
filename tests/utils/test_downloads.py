"""Downloads: each file belongs to its whole address, and only complete ones are kept."""

import concurrent.futures
import contextlib
import http.server
import multiprocessing
import os
import signal
import socketserver
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from detectron2.utils.file_io import PathManager

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.train.preflight.keys.check import unread_keys
from seesaw_d2.train.preflight.keys.written import written_layers
from seesaw_d2.train.preflight.start_weights import check_weights
from seesaw_d2.utils.downloads import cached_path
from seesaw_d2.utils.server_answers import Limits
from seesaw_d2.weights.file_checks import check_weights_file, download

CONTENT = b"weights" * 100_000


@contextlib.contextmanager
def server(answer):
    """Serve ``answer(handler)``, and yield the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(ConnectionError):  # the client has given up
                answer(self)

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def sends(
    content: bytes = CONTENT, length: int | None = None, kind: str = "application/octet-stream", status: int = 200
):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "a/b/cache"))
    return tmp_path / "a/b/cache"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


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
    # A file where Detectron2's own handler would have put it is not read.
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


def silent(handler):
    time.sleep(3)


def silent_later(handler):
    sends(length=10**6)(handler)
    time.sleep(3)


def slow(handler):
    sends(b"1", length=100)(handler)
    for _ in range(30):
        time.sleep(0.1)
        handler.wfile.write(b"1")


@pytest.mark.parametrize("answer", [silent, silent_later, slow])
def test_a_silent_server_is_given_up(tmp_path, answer):
    with server(answer) as address:
        cfg = load_config("", ["MODEL.WEIGHTS", f"{address}/w.pth", "MODEL.DOWNLOAD_TIMEOUT", "0.5"])
        begin = time.monotonic()
        with pytest.raises(WeightsError, match=rf"{address}/w\.pth.*MODEL\.DOWNLOAD_TIMEOUT"):
            check_weights(cfg, eval_only=False, resume=False)
        assert time.monotonic() - begin < 2.5
    assert files(tmp_path) == []


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
@pytest.mark.parametrize("key", ["DOWNLOAD_TIMEOUT", "DOWNLOAD_TIME_LIMIT"])
def test_times_that_are_none(key, value):
    cfg = load_config("", ["MODEL.WEIGHTS", "http://localhost:1/w.pth"])
    cfg.MODEL[key] = float(value)
    with pytest.raises(ConfigError, match=rf"MODEL\.{key}"):
        check_weights(cfg, eval_only=False, resume=False)


def dripping_headers(handler):
    for letter in "HTTP/1.1 200 OK\r\nX: " + "x" * 100:
        handler.wfile.write(letter.encode())
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [silent, dripping_headers, slow])
@pytest.mark.parametrize("in_file", [True, False])
def test_bases_have_the_limits_that_keys_set(tmp_path, answer, in_file):
    with server(answer) as address:
        text = f"_BASE_: {address}/base.yaml\n" + "MODEL: {DOWNLOAD_TIMEOUT: 0.4}" * in_file
        (tmp_path / "c.yaml").write_text(text)
        begin = time.monotonic()
        with pytest.raises(ConfigError, match=rf"{address}.*MODEL\.DOWNLOAD_TIMEOUT"):
            load_config(str(tmp_path / "c.yaml"), [] if in_file else ["MODEL.DOWNLOAD_TIMEOUT", "0.4"])
        assert time.monotonic() - begin < 2


def test_keys_of_downloads_are_read_where_a_base_is_an_address(tmp_path):
    keys = ["MODEL.DOWNLOAD_TIMEOUT", "5", "MODEL.DOWNLOAD_TIME_LIMIT", "50"]
    with server(sends(b"SEED: 1")) as address:
        for base, unread in ((f"{address}/base.yaml", []), ("base.yaml", keys[::2])):
            (tmp_path / "base.yaml").write_text("SEED: 1")
            (tmp_path / "c.yaml").write_text(f"_BASE_: {base}")
            cfg = load_config(str(tmp_path / "c.yaml"), keys)
            found = unread_keys(cfg, written_layers(str(tmp_path / "c.yaml"), keys))
            assert [each.key for each in found] == unread


def steady(handler):
    """Sends enough in each DOWNLOAD_TIMEOUT, and never ends."""
    sends(b"1", length=10**9)(handler)
    for _ in range(40):
        handler.wfile.write(b"1" * 2000)
        time.sleep(0.1)


def test_a_download_ends_at_its_limits(tmp_path):
    with server(steady) as address:
        begin = time.monotonic()
        with pytest.raises(WeightsError, match=r"MODEL\.DOWNLOAD_TIME_LIMIT"):
            download(f"{address}/w.pth", Limits(silence=0.5, total=1.0))
        assert time.monotonic() - begin < 2
        with pytest.raises(WeightsError, match="1000"):  # before anything is written
            download(f"{address}/w.pth", Limits(size=1000))
    unsaid = lambda handler: handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT)  # noqa: E731
    with server(unsaid) as address, pytest.raises(WeightsError, match=str(len(CONTENT) - 1)):
        download(f"{address}/w.pth", Limits(size=len(CONTENT) - 1))
    with server(unsaid) as address:
        assert Path(download(f"{address}/w.pth", Limits(size=len(CONTENT)))).read_bytes() == CONTENT
    assert len(files(tmp_path)) == 1


def redirects(target: str, body: bytes = b""):
    def answer(handler):
        if handler.path == "/target":
            sends()(handler)
            return
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while body:
                handler.wfile.write(body)

    return answer


def test_redirections(tmp_path):
    with server(redirects("/target", body=b"1" * 10_000)) as address:  # whose own content never ends
        found = download(f"{address}/w.pth")
        assert Path(found).read_bytes() == CONTENT
        assert found == cached_path(f"{address}/w.pth")
    for target in ("/again", "file:///etc/passwd", "data:,x", "//", "http://[", "gopher://x/"):
        with server(redirects(target)) as address, pytest.raises(WeightsError, match=address):
            download(f"{address}/w.pth")
    assert files(tmp_path) == [Path(found)]


def test_https_leads_to_no_other_scheme(monkeypatch):
    """Not even through another address of https."""
    steps = iter(["https://b.example/w.pth", "http://c.example/w.pth"])

    def opened(self, url, timeout):
        raise urllib.error.HTTPError(url, 302, "Found", {"Location": next(steps)}, None)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", opened)
    with pytest.raises(WeightsError, match=r"redirection to http://c\.example"):
        download("https://a.example/w.pth")


def test_several_processes_download_a_file_once(tmp_path):
    asked = []

    def answer(handler):
        asked.append(handler.path)
        time.sleep(0.3)
        sends()(handler)

    with server(answer) as address, concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(download, [f"{address}/w.pth"] * 4))  # each has a lock of its own
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
