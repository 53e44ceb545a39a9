"""Check that a weights file exists and is complete before it is loaded. Download it if it is remote."""

import os

from detectron2.utils.file_io import PathManager

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.downloads import Limits
from seesaw_d2.utils.regular_files import open_regular
from seesaw_d2.weights.published import SCHEME as MMDET
from seesaw_d2.weights.safe_reading import check_regular_file
from seesaw_d2.weights.torch_files import is_archive
from seesaw_d2.weights.torchvision_backbones import SCHEME, torchvision_file

_LIMITED = ("http://", "https://", "ftp://", "detectron2://", "catalog://", MMDET)
_CACHED = tuple(each for each in _LIMITED if each != MMDET)  # cached as downloaded, without conversion


def download(url: str, limits: Limits | None = None) -> str:
    """Download weights from an address that Detectron2 knows (https, detectron2, catalog, ...); return the path.

    Args:
        url: the address.
        limits: limits of time and size. They do not apply to addresses of path handlers that other programs register.
    """
    options = {"limits": limits} if url.startswith(_LIMITED) else {}
    try:
        return PathManager.get_local_path(url, **options)
    except Exception as error:  # downloaders raise many types
        raise WeightsError(f"MODEL.WEIGHTS: {url}: cannot be downloaded: {type(error).__name__}: {error}") from error


def check_weights_file(path: str, limits: Limits | None = None) -> None:
    """Raise WeightsError if a weights file is missing or truncated. A remote file is downloaded.

    Only the directory of the archive is read. It is at the end of the file, so a truncated file has none. A download
    that is not a file of weights does not stay in the cache.
    """
    if path.startswith(SCHEME):
        path = torchvision_file(path, limits)
    if "://" not in path:
        _check_local(path)
        return
    local = download(path, limits)
    try:
        _check_local(local)
    except WeightsError:
        if path.startswith(_CACHED):
            os.remove(local)
        raise


def _check_local(path: str) -> None:
    if not os.path.lexists(path):
        raise WeightsError(f"MODEL.WEIGHTS: {path}: no such file")
    check_regular_file(path)
    try:
        archive = not path.endswith(".pth") or is_archive(path)
        with open_regular(path, "rb") as file:
            magic = file.read(2)
    except OSError as error:
        raise WeightsError(f"MODEL.WEIGHTS: {path}: cannot be read: {error.strerror or error}") from error
    if not archive and magic != b"\x80\x02":  # PyTorch's format before 1.6
        raise WeightsError(
            f"MODEL.WEIGHTS: {path}: expected a PyTorch checkpoint, found a truncated file or another format"
        )
