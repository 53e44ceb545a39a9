"""Download files to a cache. When this module is imported, it registers a path handler for URLs.

The cache key is the whole URL. Detectron2's own handler uses only the path in the URL. Therefore the files of two
servers can have the same cache key, and ``..`` in a URL can lead out of the cache folder.
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
    """Return the time limits for downloads in a config (MODEL.DOWNLOAD_TIMEOUT and MODEL.DOWNLOAD_TIME_LIMIT)."""
    return Limits(cfg.MODEL.DOWNLOAD_TIMEOUT, cfg.MODEL.DOWNLOAD_TIME_LIMIT)


def cached_download(url: str, *, force: bool = False, limits: Limits | None = None) -> str:
    """Download a file if the file is not in the cache, and return the path of the cached file.

    If several processes need the same file, one process downloads the file, and the other processes wait.

    Args:
        url: URL with the scheme http, https or ftp.
        force: whether to download a cached file again.
        limits: limits on time and size. If None, use ``Limits()``.

    Raises:
        OSError: the server cannot be reached, sends an error or a wrong file, or exceeds one of the limits.
        OutputError: the file cannot be written.
    """
    path, limits = cached_path(url), limits or Limits()
    if force or not os.path.isfile(path):
        fetch(url, path, limits, force=force)
    return path


def cached_path(url: str) -> str:
    """Return the path at which the cache stores the file of a URL.

    The path depends on the whole URL: scheme, host, port, path and query. The path has the same file extension as the
    URL, because readers of weights files depend on the extension.
    """
    parts = urllib.parse.urlsplit(url)
    key = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", urllib.parse.unquote(parts.path).rsplit("/", 1)[-1])[-80:].lstrip(".")
    folder = below(os.path.join(get_cache_dir(), "seesaw_d2", "downloads"), key)
    return below(folder, name or "file")


def fetch(url: str, path: str, limits: Limits, *, digest: str = "", force: bool = False) -> None:
    """Download the file at a URL to ``path``. The file exists at ``path`` only after the download is complete.

    Args:
        url: URL that urllib supports.
        path: path of the new file. A missing folder is created.
        limits: limits on time and size.
        digest: first hexadecimal digits of the file's SHA-256 hash, or "" if unknown.
        force: whether to replace an existing file. If False, a file that another process has just downloaded is kept.

    Raises:
        OSError: the server cannot be reached, exceeds a time limit, or sends an error, a redirection to a scheme that
            is not allowed, an empty or too large file, an HTML page, or a file with a wrong length or digest.
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
        except Exception as error:  # urllib raises exceptions of many types
            raise OSError(f"{url}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _removed_if_empty(folder: str) -> Iterator[None]:
    """Remove a folder after the ``with`` block if the folder is empty, because the download failed."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _save(pieces: Iterator[bytes], url: str, path: str, digest: str) -> None:
    sha = hashlib.sha256()
    first = next(pieces, b"")
    if not first or first.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower().startswith(_HTML):
        raise OSError(f"{url}: expected a file, found {'an HTML page' if first else 'an empty response'}")
    problem: Exception | None = None
    try:
        with atomic_file(path) as file:
            while first:
                file.write(first)
                sha.update(first)
                try:
                    first = next(pieces, b"")
                except Exception as error:  # raised below, because atomic_file would report it as a write error
                    problem = error
                    raise _Incomplete from None
            if not sha.hexdigest().startswith(digest):
                found = sha.hexdigest()[:16]
                problem = OSError(f"{url}: expected a file whose SHA-256 begins with {digest}, found {found}")
                raise _Incomplete
    except _Incomplete:
        raise problem or OSError(url) from None


class _Incomplete(Exception):
    """Raised in the context ``atomic_file`` after a failed download, to remove the incomplete file."""


class Downloads(PathHandler):
    """Path handler that downloads http, https, ftp and OneDrive URLs with ``cached_download``."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["http://", "https://", "ftp://", OneDrivePathHandler.ONE_DRIVE_PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **options: Any) -> str:
        if path.startswith(OneDrivePathHandler.ONE_DRIVE_PREFIX):
            path = OneDrivePathHandler().create_one_drive_direct_download(path)
        return cached_download(path, force=force, **options)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **options: Any) -> IO[Any]:
        if mode not in ("r", "rb"):
            raise OSError(f"{path}: cannot write to a URL. Use a local path.")
        return open(self._get_local_path(path), mode, buffering=buffering, **options)


PathManager.register_handler(Downloads())
