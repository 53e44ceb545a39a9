"""Download files from servers, with limits on time and size."""

import contextlib
import logging
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

_MIN_BYTES = 1024  # a server must send at least this number of bytes in Limits.silence seconds
_MAX_BYTES = 1 << 36
_MAX_REDIRECTS = 10
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Limits:
    """Limits of a download.

    Attributes:
        silence: timeout in seconds for the connection, for the response, and for each 1024 bytes of the file
            (MODEL.DOWNLOAD_TIMEOUT).
        total: timeout in seconds for the whole file (MODEL.DOWNLOAD_TIME_LIMIT).
        size: maximum size of the file in bytes.
    """

    silence: float = 60.0
    total: float = 7200.0
    size: int = _MAX_BYTES


def contents(url: str, limits: Limits) -> Iterator[bytes]:
    """Download the file at a URL, and yield its content in pieces of bytes.

    A thread communicates with the server, because urllib has no timeout for name resolution, handshakes, or headers
    that arrive byte by byte. After a timeout, this function no longer waits for the thread.

    Raises:
        OSError: the server cannot be reached, sends an error or a wrong file, or exceeds one of the limits.
    """
    pieces: queue.Queue[bytes | Exception] = queue.Queue(maxsize=8)
    given_up = threading.Event()

    def put(piece: bytes | Exception) -> None:
        while not given_up.is_set():
            with contextlib.suppress(queue.Full):
                return pieces.put(piece, timeout=1)
        raise _GivenUp

    def talk() -> None:
        try:
            with contextlib.suppress(_GivenUp):
                try:
                    for piece in _answer(url, limits):
                        put(piece)
                    put(b"")
                except Exception as error:
                    put(error)
        except Exception:  # ``contents`` no longer waits, so nobody else reports the error
            logger.debug("The download was abandoned.", exc_info=True)

    threading.Thread(target=talk, name="download", daemon=True).start()
    try:
        yield from _in_time(pieces, url, limits)
    finally:
        given_up.set()


class _GivenUp(Exception):
    """Raised in the thread of a download to end the thread, if ``contents`` no longer waits for it."""


def _in_time(pieces: "queue.Queue[bytes | Exception]", url: str, limits: Limits) -> Iterator[bytes]:
    """Yield the pieces of a file from a queue until an empty piece arrives, which marks the end of the file.

    Args:
        pieces: queue that the download thread fills with the content of the file, or with an exception.
        url: URL of the file, for messages.
        limits: limits on time and size.

    Raises:
        OSError: a time limit was reached, or the file is too large.
        Exception: the queue contains this exception.
    """
    begin = last = time.monotonic()
    size = recent = 0
    while True:
        end = min(last + limits.silence, begin + limits.total)
        try:
            piece = pieces.get(timeout=max(end - time.monotonic(), 0.01))
        except queue.Empty:
            piece = None
        now = time.monotonic()
        if piece is None or (now >= end and recent < _MIN_BYTES):
            if now >= begin + limits.total:
                raise OSError(
                    f"{url}: the download is not complete after {limits.total:g} s (MODEL.DOWNLOAD_TIME_LIMIT). "
                    "Increase this limit, or download the file yourself"
                )
            raise OSError(
                f"{url}: the server sent fewer than {_MIN_BYTES} bytes in {limits.silence:g} s "
                "(MODEL.DOWNLOAD_TIMEOUT). Increase this limit, or download the file yourself"
            )
        if isinstance(piece, Exception):
            raise piece
        if not piece:
            return
        size, recent = size + len(piece), recent + len(piece)
        if size > limits.size:
            raise OSError(f"{url}: expected a file of at most {limits.size} bytes, found at least {size} bytes")
        if recent >= _MIN_BYTES:
            last, recent = now, 0
        yield piece


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib handler that follows no redirections. ``_open`` follows them, because urllib would read their content."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _open(url: str, timeout: float) -> Any:
    """Open a URL, and follow at most 10 redirections. ``timeout`` in seconds applies to each wait for a server.

    Raises:
        OSError: the server sent an error, too many redirections, or a redirection from https to another scheme.
    """
    opener, given = urllib.request.build_opener(_NoRedirect), url
    for _ in range(_MAX_REDIRECTS):
        try:
            return opener.open(url, timeout=timeout)
        except urllib.error.HTTPError as error:
            target = error.headers.get("Location") if error.code in (301, 302, 303, 307, 308) else None
            error.close()
            if target is None:
                raise OSError(f"{given}: {error}") from None
        before, url = url, urllib.parse.urljoin(url, target)
        schemes = ("https",) if before.startswith("https:") else ("http", "https", "ftp")
        if urllib.parse.urlsplit(url).scheme not in schemes:
            raise OSError(f"{given}: expected a redirection to {' or '.join(schemes)}, found a redirection to {url}")
    raise OSError(f"{given}: expected at most {_MAX_REDIRECTS} redirections, found {_MAX_REDIRECTS + 1} redirections")


def _answer(url: str, limits: Limits) -> Iterator[bytes]:
    """Yield the content of a URL in pieces.

    Raises:
        OSError: the server cannot be reached, its headers are wrong, or the content has another length than announced.
    """
    try:
        response = _open(url, 2 * limits.silence)  # without a timeout, an abandoned thread might never end
    except urllib.error.URLError as error:
        raise OSError(f"{url}: {error.reason}") from error
    with response:
        _check_answer(response, url, limits)
        size = 0
        while content := response.read1(_CHUNK) if hasattr(response, "read1") else response.read(_CHUNK):
            size += len(content)
            yield content
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != size:
            raise OSError(
                f"{url}: the download is incomplete: expected {length} bytes (Content-Length), found {size} bytes"
            )


def _check_answer(response: Any, url: str, limits: Limits) -> None:
    if getattr(response, "status", None) not in (None, 200):
        raise OSError(f"{url}: expected HTTP status 200, found HTTP status {response.status}")
    kind = response.headers.get("Content-Type", "")
    if kind.startswith(("text/html", "application/xhtml")):
        raise OSError(f"{url}: expected a file, found an HTML page ({kind})")
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise OSError(f"{url}: expected a response without the HTTP header Content-Encoding, found {encoding}")
    if (length := int(response.headers.get("Content-Length") or 0)) > limits.size:
        raise OSError(f"{url}: expected a file of at most {limits.size} bytes, found {length} bytes")
