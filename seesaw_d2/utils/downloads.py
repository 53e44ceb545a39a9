"""Download files into a cache in which each belongs to its whole address. Importing this module registers the handler.

Detectron2's downloads keep a file under the path of its address alone, so that one server can plant another's files,
and ``..`` leads anywhere.
"""

import hashlib
import http.client
import os
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import IO, Any

from detectron2.utils.file_io import PathHandler, PathManager
from iopath.common.file_io import OneDrivePathHandler, get_cache_dir

from seesaw_d2.errors import OutputError
from seesaw_d2.utils.atomic_files import atomic_file
from seesaw_d2.utils.untrusted_paths import below

# Default of MODEL.DOWNLOAD_TIMEOUT, and of files that are read before the config is known.
TIMEOUT = 60.0
_MIN_BYTES = 1024  # in TIMEOUT seconds; fewer count as silence
_CHUNK = 1 << 18
_HTML = (b"<!doctype html", b"<html")


def cached_download(url: str, *, force: bool = False, timeout: float = TIMEOUT, cache_dir: str | None = None) -> str:
    """Return the local copy of an address, and download it if there is none.

    Args:
        url: of http, https or ftp.
        force: download it again.
        timeout: seconds without data after which the server is given up.
        cache_dir: default: the folder of Detectron2's downloads.

    Raises:
        OSError: see ``fetch``.
    """
    path = cached_path(url, cache_dir)
    if force or not os.path.isfile(path):
        fetch(url, path, timeout=timeout)
    return path


def cached_path(url: str, cache_dir: str | None = None) -> str:
    """Return the path of an address in the cache. The key is the whole address: scheme, host, port, path and query.

    The path ends like the address's, because readers of weights depend on the ending.
    """
    parts = urllib.parse.urlsplit(url)
    key = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", urllib.parse.unquote(parts.path).rsplit("/", 1)[-1])[-80:].lstrip(".")
    folder = below(os.path.join(get_cache_dir(cache_dir), "seesaw_d2", "downloads"), key)
    return below(folder, name or "file")


def fetch(url: str, path: str, *, timeout: float = TIMEOUT, digest: str = "") -> None:
    """Download ``url`` to ``path``, which exists only if the file is complete.

    Args:
        url: an address that urllib opens.
        path: of the new file; its folder is created.
        timeout: seconds in which the server must answer, and then send 1 KiB.
        digest: first hexadecimal digits of the SHA-256; "": unknown.

    Raises:
        OSError: the server cannot be reached, is silent, refuses, or sends nothing, a page of HTML, another length than
            it says, or another file than ``digest`` says. OutputError: the file cannot be written.
    """
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            _check_answer(response, url)
            _save(response, url, path, timeout, digest)
    except TimeoutError:
        raise _silent(url, timeout) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise _silent(url, timeout) from None
        raise OSError(f"{url}: {error}") from error
    except (http.client.HTTPException, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error


def _check_answer(response: Any, url: str) -> None:
    if getattr(response, "status", None) not in (None, 200):
        raise OSError(f"{url}: expected the file, found the answer {response.status}")
    kind = response.headers.get("Content-Type", "")
    if kind.startswith(("text/html", "application/xhtml")):
        raise OSError(f"{url}: expected a file, found a page of HTML ({kind})")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise OSError(f"{url}: expected the file, found it compressed by the server")


def _save(response: Any, url: str, path: str, timeout: float, digest: str) -> None:
    chunks, sha, size = _chunks(response, url, timeout), hashlib.sha256(), 0
    first = next(chunks, b"")
    if not first or first.lstrip()[:20].lower().startswith(_HTML):
        raise OSError(f"{url}: expected a file, found {'a page of HTML' if first else 'nothing'}")
    problem: Exception | None = None
    try:
        with atomic_file(path) as file:
            while first:
                file.write(first)
                sha.update(first)
                size += len(first)
                try:
                    first = next(chunks, b"")
                    problem = None if first else _wrong(response, url, size, sha.hexdigest(), digest)
                except Exception as error:  # a failure of the network is none of the disk
                    problem = error
                if problem:
                    raise _Incomplete
    except _Incomplete:
        raise problem or OSError(url) from None


class _Incomplete(Exception):
    """Ends ``atomic_file`` without the file."""


def _chunks(response: Any, url: str, timeout: float) -> Iterator[bytes]:
    """Yield the content. Raise OSError if fewer than 1 KiB come within ``timeout`` seconds."""
    begin, size = time.monotonic(), 0
    while content := response.read1(_CHUNK) if hasattr(response, "read1") else response.read(_CHUNK):
        size += len(content)
        now = time.monotonic()
        if size >= _MIN_BYTES:
            begin, size = now, 0
        elif now - begin > timeout:
            raise _silent(url, timeout)
        yield content


def _wrong(response: Any, url: str, size: int, sha: str, digest: str) -> OSError | None:
    length = response.headers.get("Content-Length")
    if length is not None and int(length) != size:
        return OSError(f"{url}: expected {length} bytes, found {size}")
    if not sha.startswith(digest):
        return OSError(f'{url}: invalid hash value (expected "{digest}", found "{sha[:16]}")')
    return None


def _silent(url: str, timeout: float) -> OSError:
    return OSError(f"{url}: the server sent nothing for {timeout:g} s (MODEL.DOWNLOAD_TIMEOUT)")


class Downloads(PathHandler):
    """Provides files of http, https, ftp and OneDrive through ``cached_download``."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["http://", "https://", "ftp://", OneDrivePathHandler.ONE_DRIVE_PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **options: Any) -> str:
        if path.startswith(OneDrivePathHandler.ONE_DRIVE_PREFIX):
            path = OneDrivePathHandler().create_one_drive_direct_download(path)
        return cached_download(path, force=force, **options)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **options: Any) -> IO[Any]:
        if mode not in ("r", "rb"):
            raise OSError(f"{path}: expected a local file to write, found an address")
        return open(self._get_local_path(path), mode, buffering=buffering, **options)


PathManager.register_handler(Downloads())
