"""Read the annotation files of MUSCIMA++ v2.0 (handwritten music notation) from a folder or an archive."""

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
# _MAX_BYTES is the maximum size of an annotation file, and _MAX_TOTAL the maximum total size of all files, both in
# bytes. Larger files are refused, because they would fill the memory. In MUSCIMA++ v2.0, the sizes are 2 MB and 100 MB.
_MAX_BYTES = 100_000_000
_MAX_TOTAL = 1_000_000_000


def read_files(source: Path) -> dict[str, bytes]:
    """Read the annotation files of MUSCIMA++, and the file that lists the pages of the official test set.

    Args:
        source: the published archive (zip, tar, tar.gz, tar.xz), or a folder with the extracted files.

    Returns:
        the content of each file by its path in the archive or folder, sorted by path.

    Raises:
        ConfigError: the source does not exist, or is neither a file nor a folder.
        DataError: the source cannot be read, is too large, or contains no annotation file.
    """
    if not source.exists():
        raise ConfigError(f"source: expected the archive or folder of MUSCIMA++ v2.0, found nothing at {source}")
    if (kind := irregular(source)) and not source.is_dir():
        raise ConfigError(f"{source}: expected the archive or folder of MUSCIMA++ v2.0, found {kind}")
    try:
        files = dict(_members(source))
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError) as error:
        raise DataError(
            f"{source}: cannot read this folder or archive ({reason(error)}). The archive must be a zip or tar file."
        ) from None
    if not any(_ANNOTATION.search(name) for name in files):
        raise DataError(
            f"{source}: expected annotation files CVC-MUSCIMA_W-*_N-*_D-ideal.xml, found no such file. Use the archive "
            "or folder of MUSCIMA++ v2.0."
        )
    return dict(sorted(files.items()))


def _members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each annotation file, and of the file that lists the official test set.

    Unsafe file names in an archive, such as "../x", are harmless, because no file is written to disk.
    """
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
                # Also count the sizes of files that are not needed, because tarfile must decompress them to reach the
                # next file.
                checked.add(member.name, member.size)
                if member.isfile() and _wanted(member.name):
                    yield member.name, archive.extractfile(member).read()


def _wanted(name: str) -> bool:
    return bool(_ANNOTATION.search(name)) or name.rsplit("/", 1)[-1] == TEST_SET


class _Sizes:
    """Checker for the sizes of files before they are read. Too large files would fill the memory.

    Args:
        source: archive or folder that contains the files, for messages.
    """

    def __init__(self, source: Path):
        self._source, self._total = source, 0

    def add(self, name: str, size: int) -> None:
        """Add a file to the total size. Raise DataError if the file or the total size so far is too large.

        Args:
            name: path of the file in the archive or folder.
            size: size of the file in bytes.
        """
        self._total += size
        if size > _MAX_BYTES and _wanted(name):
            raise DataError(
                f"{self._source}: expected files of at most {_MAX_BYTES} bytes, found {size} bytes in the file {name}"
            )
        if self._total > _MAX_TOTAL:
            raise DataError(
                f"{self._source}: expected files with a total size of at most {_MAX_TOTAL} bytes, found a total size "
                f"of at least {self._total} bytes (up to the file {name})"
            )


def parse_pages(files: dict[str, bytes]) -> Iterator[Page]:
    """Parse the annotation files of MUSCIMA++, each of which describes the symbols on one page.

    Args:
        files: content of each file by path. Files with other names than annotation files are ignored.

    Yields:
        the pages, in the order of ``files``.

    Raises:
        DataError: a file is not a valid annotation file, or two files describe the same page.
    """
    found: dict[tuple[int, int], str] = {}
    for name, content in files.items():
        if not _ANNOTATION.search(name):
            continue
        page = parse_page(content, name)
        other = found.setdefault((page.writer, page.number), name)
        if other != name:
            raise DataError(
                f"{name}: expected one annotation file per page, but {other} describes the same page. Remove one file."
            )
        yield page


def official_test_pages(files: dict[str, bytes]) -> frozenset[str]:
    """Return the names of the pages in the official test set, which ``testset-independent.txt`` lists.

    Args:
        files: content of each file of MUSCIMA++ by path: the annotation files and ``testset-independent.txt``.

    Raises:
        DataError: ``testset-independent.txt`` is missing, or lists a page without an annotation file.
    """
    lists = [name for name in files if not _ANNOTATION.search(name)]
    if not lists:
        raise DataError(
            f"--official: expected the file specifications/{TEST_SET} in the archive or folder, found no such "
            "file. Use the complete MUSCIMA++ v2.0, which contains this file."
        )
    names = frozenset(files[lists[0]].decode("utf-8", "replace").split())
    known = {name.rsplit("/", 1)[-1].removesuffix(".xml") for name in files}
    if names - known:
        raise DataError(
            f"{lists[0]}: expected names of annotation files, found names without a file in the archive or folder: "
            f"{first_few(sorted(names - known))}. Use the complete MUSCIMA++ v2.0."
        )
    return names
