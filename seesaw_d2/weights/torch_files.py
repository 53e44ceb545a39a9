"""Check files of ``torch.save`` before PyTorch reads them, and add a checksum after PyTorch has written them.

A file of ``torch.save`` is a zip archive. Its records (the files in the archive) are a pickle and the data of the
tensors. The archive contains a checksum for each record, but not for its own headers, which contain the offsets of the
records. PyTorch also does not check the tensor sizes in the pickle. A wrong size would give weights from uninitialized
memory.
"""

import functools
import hashlib
import io
import os
import pickle
import struct
import zipfile
from typing import IO, Any

import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.messages import shown
from seesaw_d2.utils.pickle_checks import check_pickle
from seesaw_d2.utils.pickle_values import Node
from seesaw_d2.utils.regular_files import open_regular

_SEAL = b"seesaw_d2 headers sha256 "
_DIGITS = 64
_CHUNK = 1 << 20
# Before version 1.6, PyTorch wrote this many pickles at the start of a file: the magic number, the format version,
# system information, the saved object, and the keys of the tensor storages.
_LEGACY_PICKLES = 5


def check_torch_file(path: str, *, records: bool = False) -> None:
    """Check the headers, the pickles and the tensor sizes of a file of ``torch.save``, before PyTorch reads the file.

    Args:
        path: path of a regular file.
        records: whether to verify the checksum of each record (pickle or tensor data) in the zip archive, which PyTorch
            itself does not verify. If False, the function verifies these checksums only if the file also has the
            checksum of this project (see ``seal``).

    Raises:
        WeightsError: the archive is compressed (PyTorch never compresses, and unpacking could fill the memory), a
            checksum does not match, or the file lacks the data of a tensor.
        Exception: any type of exception, if the file is corrupt or a pickle is unsafe to read (see ``check_pickle``).
    """
    with open_regular(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            _check_legacy(file, path)
            return
        with zipfile.ZipFile(file) as archive:
            _check_entries(archive, path)
            _check_seal(archive, file, path)
            _check_storages(archive, path)
            if records or archive.comment:
                _check_records(archive, path)


def check_archive(archive: zipfile.ZipFile, file: IO[bytes], path: str) -> None:
    """Verify the checksums of a zip archive: of its headers (see ``seal``) and of all files in it.

    Args:
        archive: the archive.
        file: the open file of the archive.
        path: path of the archive, for error messages.

    Raises:
        WeightsError: a checksum does not match.
    """
    _check_seal(archive, file, path)
    _check_records(archive, path)


def is_archive(path: str) -> bool:
    """Return True if a file is a zip archive, the format of ``torch.save``, or a corrupt archive."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def seal(file: IO[bytes]) -> None:
    """Write a checksum of the headers of an open zip archive to the archive's comment, which PyTorch ignores.

    ``file`` is a file that ``torch.save`` has written, open for reading and writing.
    """
    with zipfile.ZipFile(file) as archive:
        comment = _SEAL + bytes(_DIGITS)
        digest = _digest(archive, file, len(comment))
    file.seek(-2, os.SEEK_END)
    file.write(struct.pack("<H", len(comment)) + _SEAL + digest)


def _check_entries(archive: zipfile.ZipFile, path: str) -> None:
    entries, size = archive.infolist(), os.path.getsize(path)
    unpacked = sum(entry.file_size for entry in entries)
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise WeightsError(
            f"{path}: expected an archive without compression, as PyTorch writes it, found the compressed record "
            f"{shown(packed[0])}. Write the file again with torch.save."
        )
    if unpacked > size:
        raise WeightsError(
            f"{path}: expected records of at most {size} bytes in all, the size of the archive, found {unpacked} "
            "bytes. The file is damaged."
        )
    if len({entry.filename for entry in entries}) < len(entries):
        raise WeightsError(
            f"{path}: expected different record names in the archive, found a repeated name. The file is damaged."
        )


def _check_records(archive: zipfile.ZipFile, path: str) -> None:
    bad = archive.testzip()
    if bad is not None:
        raise WeightsError(
            f"{path} is damaged: the content of record {shown(bad)} does not match its checksum. Copy or download "
            "the file again."
        )


def _check_seal(archive: zipfile.ZipFile, file: IO[bytes], path: str) -> None:
    """Raise WeightsError if the checksum in the zip comment (see ``seal``) does not match the headers of an archive.

    Archives of other programs and of earlier versions have no comment and are not checked.
    """
    comment = archive.comment
    if not comment:
        return
    file.seek(-len(comment) - 2, os.SEEK_END)
    length = file.read(2) == struct.pack("<H", len(comment))
    if not length or comment != _SEAL + _digest(archive, file, len(comment)):
        raise WeightsError(
            f"{path} is damaged: the headers of the archive do not match their checksum. Copy or download the "
            "file again."
        )


def _digest(archive: zipfile.ZipFile, file: IO[bytes], comment: int) -> bytes:
    """Return the SHA-256 of the headers of a zip archive, without the contents of the files in it, in hexadecimal.

    Args:
        archive: the archive.
        file: the open file of the archive.
        comment: length of the zip comment with the checksum. The headers contain this length. ``seal`` computes the
            digest before it writes the comment, and ``_check_seal`` computes it afterwards.
    """
    size = file.seek(0, os.SEEK_END) - len(archive.comment)
    digest, position = hashlib.sha256(struct.pack("<Q", size)), 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        start = entry.header_offset + 30 + name + extra
        _update(digest, file, position, start)
        position = max(position, start + entry.compress_size)
    _update(digest, file, position, size - 2)
    digest.update(struct.pack("<H", comment))
    return digest.hexdigest().encode()


def _update(digest: Any, file: IO[bytes], start: int, stop: int) -> None:
    file.seek(start)
    while start < stop:
        content = file.read(min(_CHUNK, stop - start))
        if not content:
            return
        digest.update(content)
        start += len(content)


def _check_storages(archive: zipfile.ZipFile, path: str) -> None:
    """Check the pickle in a file of ``torch.save``, and that the file contains all data of each tensor storage.

    Raises:
        WeightsError: the record of a storage is missing or smaller than its size in the pickle.
    """
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    pickles = [name for name in sizes if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        return  # torch.load raises an error with more information about this file
    with archive.open(pickles[0]) as member, io.BufferedReader(member) as file:
        _, storages = check_pickle(file)
    folder = pickles[0].removesuffix("data.pkl")
    for storage in storages:
        key, needed = _storage(storage)
        found = sizes.get(f"{folder}data/{key}")
        if found is None or found < needed:
            raise WeightsError(
                f"{path}: expected at least {needed} bytes in record data/{shown(key)[1:-1]}, found {found or 0} "
                "bytes. The file is damaged."
            )


def _check_legacy(file: IO[bytes], path: str) -> None:
    found = [check_pickle(file) for _ in range(_LEGACY_PICKLES)]
    storages = dict(map(_storage, found[3][1]))
    keys = found[4][0]
    listed = keys.items if isinstance(keys, Node) and keys.kind == "list" else []
    if sum(storages.values()) > os.path.getsize(path) or not storages.keys() <= {
        key for key in listed if isinstance(key, str)
    }:
        raise WeightsError(
            f"{path}: the data of some tensors is missing. The file is truncated or damaged. Copy or download it again."
        )


def _storage(identity: list) -> tuple[str, int]:
    """Return the key and the size in bytes of a tensor storage.

    Args:
        identity: persistent id of the storage in a pickle of PyTorch, ("storage", type, key, device, number of values).
    """
    kind, key, number = identity[1], identity[2], identity[4]
    if not isinstance(kind, Node) or kind.kind != "global" or not isinstance(key, str) or type(number) is not int:
        raise pickle.UnpicklingError("a tensor storage lacks a valid type, name or number of values")
    if number < 0:
        raise pickle.UnpicklingError(f"expected a tensor storage of at least 0 values, found {number} values")
    return key, number * _bytes_of(kind.items[1])


@functools.lru_cache
def _bytes_of(storage: str) -> int:
    """Return the size in bytes of one value in a PyTorch storage type: 4 for "FloatStorage"."""
    return 1 if storage == "UntypedStorage" else torch.serialization.StorageType(storage).dtype.itemsize
