"""Read the files of MUSCIMA++ v2.0 from its folder or its archive."""

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from seesaw_d2.data.muscima.pages import Page, parse_page
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.messages import first_few, reason
from seesaw_d2.utils.regular_files import irregular, open_regular

_ANNOTATION = re.compile(r"(?:^|/)CVC-MUSCIMA_W-\d+_N-\d+_D-[^/]*\.xml$")
TEST_SET = "testset-independent.txt"
# Maximum size of an annotation file, and of all files. The largest one has 2 MB, all have 100 MB.
_MAX_BYTES = 100_000_000
_MAX_TOTAL = 1_000_000_000


def read_files(source: Path) -> dict[str, bytes]:
    """Return a dict, sorted by name, of the annotation files and the list of the official test set: name -> content.

    Args:
        source: the published archive (zip, tar, tar.gz, tar.xz), or a folder in which it was unpacked.

    Raises:
        ConfigError: there is no such file or folder.
        DataError: the source cannot be read, or has no annotation file.
    """
    if not source.exists():
        raise ConfigError(f"{source}: expected the archive or folder of MUSCIMA++ v2.0, found no such file or folder")
    if (kind := irregular(source)) and not source.is_dir():
        raise ConfigError(f"{source}: expected the archive or folder of MUSCIMA++ v2.0, found {kind}")
    try:
        files = dict(_members(source))
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError) as error:
        raise DataError(f"{source}: expected a folder, a zip or a tar archive: {reason(error)}") from None
    if not any(_ANNOTATION.search(name) for name in files):
        raise DataError(f"{source}: expected annotation files CVC-MUSCIMA_W-*_N-*_D-ideal.xml, found none")
    return dict(sorted(files.items()))


def _members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file. Nothing is unpacked to the disk, so unsafe names are harmless."""
    checked = _Sizes(source)
    if source.is_dir():
        for path in source.rglob("*"):
            if _wanted(path.name) and path.is_file():
                checked.add(path.name, path.stat().st_size)
                with open_regular(path, "rb") as file:
                    yield path.relative_to(source).as_posix(), file.read(_MAX_BYTES)
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if _wanted(info.filename):
                    checked.add(info.filename, info.file_size)
                    yield info.filename, archive.read(info)
    else:
        with tarfile.open(source) as archive:
            for member in archive:
                checked.add(member.name, member.size)  # finding the next file unpacks this one, wanted or not
                if member.isfile() and _wanted(member.name):
                    yield member.name, archive.extractfile(member).read()


def _wanted(name: str) -> bool:
    return bool(_ANNOTATION.search(name)) or name.rsplit("/", 1)[-1] == TEST_SET


class _Sizes:
    """Sizes of the files of a source, which are checked before they are unpacked."""

    def __init__(self, source: Path):
        self._source, self._total = source, 0

    def add(self, name: str, size: int) -> None:
        """Raise DataError if an annotation file, or all files so far, are too large."""
        self._total += size
        if size > _MAX_BYTES and _wanted(name):
            raise DataError(f"{self._source}: {name}: expected at most {_MAX_BYTES} bytes, found {size}")
        if self._total > _MAX_TOTAL:
            raise DataError(f"{self._source}: expected at most {_MAX_TOTAL} bytes, found more from {name} on")


def parse_pages(files: dict[str, bytes]) -> Iterator[Page]:
    """Yield the pages of ``read_files``, in the order of their files' names.

    Raises:
        DataError: a file is invalid (see ``parse_page``), or two files describe the same page.
    """
    found: dict[tuple[int, int], str] = {}
    for name, content in files.items():
        if not _ANNOTATION.search(name):
            continue
        page = parse_page(content, name)
        other = found.setdefault((page.writer, page.number), name)
        if other != name:
            raise DataError(f"{name}: expected one file per page, found a second one, {other}")
        yield page


def official_test_pages(files: dict[str, bytes]) -> frozenset[str]:
    """Return the names of the pages in ``testset-independent.txt``. Their writers wrote no other pages.

    Raises:
        DataError: the list is missing in the source, or contains the name of a missing page.
    """
    lists = [name for name in files if not _ANNOTATION.search(name)]
    if not lists:
        raise DataError(f"specifications/{TEST_SET}: expected this file beside the annotations, found none")
    names = frozenset(files[lists[0]].decode("utf-8", "replace").split())
    known = {name.rsplit("/", 1)[-1].removesuffix(".xml") for name in files}
    if names - known:
        raise DataError(f"{lists[0]}: expected names of annotation files, found {first_few(sorted(names - known))}")
    return names
