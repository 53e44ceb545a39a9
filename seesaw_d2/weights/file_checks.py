"""Check that a weights file exists and is complete, before a model loads the file. Download remote files."""

import os

from detectron2.utils.file_io import PathManager

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.downloads import Limits
from seesaw_d2.utils.regular_files import open_regular
from seesaw_d2.weights.published import SCHEME as MMDET
from seesaw_d2.weights.safe_reading import check_regular_file
from seesaw_d2.weights.torch_files import is_archive
from seesaw_d2.weights.torchvision_backbones import SCHEME, torchvision_file

# For addresses with these prefixes, the path handlers have an argument ``limits`` for the time and size of a download.
# ``download`` passes ``limits`` only to these path handlers, because others do not have this argument.
_LIMITED = ("http://", "https://", "ftp://", "detectron2://", "catalog://", MMDET)
# For addresses with these prefixes, the cache contains the downloaded file itself. If it is not a weights file, it is
# removed from the cache. The cached file of an "mmdet://" address is kept, because a conversion has written it.
_CACHED = tuple(each for each in _LIMITED if each != MMDET)


def download(url: str, limits: Limits | None = None) -> str:
    """Download weights and return the path of the local file.

    Args:
        url: an address that a path handler of Detectron2 supports, such as ``https://`` or ``detectron2://``.
        limits: limits on the time and size of the download. Path handlers of other libraries do not get the limits.

    Raises:
        WeightsError: the download failed.
    """
    options = {"limits": limits} if url.startswith(_LIMITED) else {}
    try:
        return PathManager.get_local_path(url, **options)
    except Exception as error:  # path handlers raise many types of exceptions
        raise WeightsError(f"MODEL.WEIGHTS: cannot download {url}: {type(error).__name__}: {error}") from error


def check_weights_file(path: str, limits: Limits | None = None) -> None:
    """Check that a weights file exists and is complete. Download a remote file first.

    The check does not read the weights. It reads only the directory of the zip archive, which is at the end of a .pth
    file and missing in a truncated file. If a downloaded file is not a weights file, this function removes it from the
    cache.

    Args:
        path: path of the file, or address such as ``https://...`` or ``torchvision://resnet50``.
        limits: limits on the time and size of the download.

    Raises:
        WeightsError: the file is missing, truncated or not a weights file.
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
        raise WeightsError(f"MODEL.WEIGHTS: {path}: no such file. Check the path.")
    check_regular_file(path)
    try:
        archive = not path.endswith(".pth") or is_archive(path)
        with open_regular(path, "rb") as file:
            magic = file.read(2)
    except OSError as error:
        raise WeightsError(f"MODEL.WEIGHTS: cannot read {path}: {error.strerror or error}") from error
    if not archive and magic != b"\x80\x02":  # PyTorch before 1.6 wrote no archives, but files with these first bytes
        raise WeightsError(
            f"MODEL.WEIGHTS: {path}: not a PyTorch checkpoint. The file is truncated or has another format. Copy or "
            "download it again, or choose another file."
        )
