"""Test the time and size limits of downloads, and redirections."""

import contextlib
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.train.preflight.keys.check import unread_keys
from seesaw_d2.train.preflight.keys.written import written_layers
from seesaw_d2.train.preflight.start_weights import check_weights
from seesaw_d2.utils.download_limits import Limits
from seesaw_d2.utils.downloads import cached_path
from seesaw_d2.weights.file_checks import download
from tests.utils.download_server import CONTENT, downloads_cache, files, sends, server  # noqa: F401


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
    """Send enough data in each DOWNLOAD_TIMEOUT, without end."""
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
        with pytest.raises(WeightsError, match="1000"):  # the error comes before anything is written
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
    with server(redirects("/target", body=b"1" * 10_000)) as address:  # the redirection's own content never ends
        found = download(f"{address}/w.pth")
        assert Path(found).read_bytes() == CONTENT
        assert found == cached_path(f"{address}/w.pth")
    for target in ("/again", "file:///etc/passwd", "data:,x", "//", "http://[", "gopher://x/"):
        with server(redirects(target)) as address, pytest.raises(WeightsError, match=address):
            download(f"{address}/w.pth")
    assert files(tmp_path) == [Path(found)]


def test_https_leads_to_no_other_scheme(monkeypatch):
    """Test that https does not redirect to another scheme, not even through another https address."""
    steps = iter(["https://b.example/w.pth", "http://c.example/w.pth"])

    def opened(self, url, timeout):
        raise urllib.error.HTTPError(url, 302, "Found", {"Location": next(steps)}, None)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", opened)
    with pytest.raises(WeightsError, match=r"redirection to http://c\.example"):
        download("https://a.example/w.pth")
