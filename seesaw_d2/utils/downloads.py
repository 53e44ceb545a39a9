"""Download files to a cache whose key is the whole address. Importing this module registers a path handler.

Detectron2's cache key is only the path in the address. Therefore one server could provide the files of another server,
and ``..`` could lead to any folder.
"""

import contextlib
import hashlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from typing import IO, Any

from detectron2.config import CfgNode
from detectron2.utils.file_io import PathHandler, PathManager
from iopath.common.file_io import OneDrivePathHandler, get_cache_dir

from seesaw_d2.errors import OutputError
from seesaw_d2.utils.atomic_files import atomic_file, make_folder, remove_leftovers
from seesaw_d2.utils.download_limits import Limits, contents
from seesaw_d2.utils.file_locks import folder_lock
from seesaw_d2.utils.untrusted_paths import below

_HTML = (b"<!", b"<html", b"<head", b"<body", b"<?xml")


def limits_of(cfg: CfgNode) -> Limits:
    """Return the limits of downloads that a config sets."""
    return Limits(cfg.MODEL.DOWNLOAD_TIMEOUT, cfg.MODEL.DOWNLOAD_TIME_LIMIT)


def cached_download(
    url: str, *, force: bool = False, limits: Limits | None = None, cache_dir: str | None = None
) -> str:
    """Download a file unless the cache contains it, and return its local path.

    If several processes need the same file, one process downloads it and the others wait.

    Args:
        url: address that begins with http, https or ftp.
        force: whether to download a cached file again.
        limits: limits on time and size. None: ``Limits()``.
        cache_dir: folder of the cache. None: Detectron2's folder for downloads.

    Raises:
        OSError: see ``fetch``.
    """
    path, limits = cached_path(url, cache_dir), limits or Limits()
    if force or not os.path.isfile(path):
        fetch(url, path, limits, force=force)
    return path


def cached_path(url: str, cache_dir: str | None = None) -> str:
    """Return the path of a file in the cache. The key is the whole address: scheme, host, port, path and query.

    The path keeps the extension in the address, because readers of weights depend on it.
    """
    parts = urllib.parse.urlsplit(url)
    key = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", urllib.parse.unquote(parts.path).rsplit("/", 1)[-1])[-80:].lstrip(".")
    folder = below(os.path.join(get_cache_dir(cache_dir), "seesaw_d2", "downloads"), key)
    return below(folder, name or "file")


def fetch(url: str, path: str, limits: Limits, *, digest: str = "", force: bool = False) -> None:
    """Download ``url`` to ``path``. The path exists only after a complete download.

    Args:
        url: an address that urllib opens.
        path: path of the new file. Its folder is created.
        limits: limits on time and size.
        digest: first hexadecimal digits of the file's SHA-256, or "" if unknown.
        force: whether to replace a file that another process has downloaded meanwhile.

    Raises:
        OSError: the server cannot be reached, is silent or slow, sends an error or a redirection to another scheme, or
            sends nothing, too much, an HTML page, or a file whose length or digest is wrong.
        OutputError: the file cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    make_folder(folder)
    with _removed_if_empty(folder), folder_lock(folder, limits.total):
        remove_leftovers(folder, re.compile(re.escape(name)))
        if not force and os.path.isfile(path):
            return
        try:
            _save(contents(url, limits), url, path, digest)
        except (OSError, OutputError):
            raise
        except Exception as error:  # urllib raises many types
            raise OSError(f"{url}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _removed_if_empty(folder: str) -> Iterator[None]:
    """Remove a folder after the block if the folder is empty."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _save(pieces: Iterator[bytes], url: str, path: str, digest: str) -> None:
    sha = hashlib.sha256()
    first = next(pieces, b"")
    if not first or first.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower().startswith(_HTML):
        raise OSError(f"{url}: expected a file, found {'an HTML page' if first else 'an empty answer'}")
    problem: Exception | None = None
    try:
        with atomic_file(path) as file:
            while first:
                file.write(first)
                sha.update(first)
                try:
                    first = next(pieces, b"")
                except Exception as error:  # atomic_file would report a network error as an error of the disk
                    problem = error
                    raise _Incomplete from None
            if not sha.hexdigest().startswith(digest):
                found = sha.hexdigest()[:16]
                problem = OSError(f"{url}: expected a file whose SHA-256 begins with {digest}, found {found}")
                raise _Incomplete
    except _Incomplete:
        raise problem or OSError(url) from None


class _Incomplete(Exception):
    """Raised to leave ``atomic_file`` without creating the file."""


class Downloads(PathHandler):
    """Path handler that opens addresses of http, https, ftp and OneDrive with ``cached_download``."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["http://", "https://", "ftp://", OneDrivePathHandler.ONE_DRIVE_PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **options: Any) -> str:
        if path.startswith(OneDrivePathHandler.ONE_DRIVE_PREFIX):
            path = OneDrivePathHandler().create_one_drive_direct_download(path)
        return cached_download(path, force=force, **options)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **options: Any) -> IO[Any]:
        if mode not in ("r", "rb"):
            raise OSError(f"{path}: expected a local path to write to, found a URL")
        return open(self._get_local_path(path), mode, buffering=buffering, **options)


PathManager.register_handler(Downloads())
