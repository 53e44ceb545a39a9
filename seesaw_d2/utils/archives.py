"""Check the sizes in an archive of NumPy arrays (.npz) before unpacking it, so that a small file cannot fill memory."""

import zipfile

import numpy as np

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import shown

# An archive may unpack to at most MAX_RATIO times its size. Arrays of photos and measurements stay far below this
# limit. Without a limit, a small file of zeros, which deflate compresses by a factor of 1030, could fill the memory.
MAX_RATIO = 200
_ALWAYS = 64 << 20  # MAX_RATIO applies only to archives that unpack to more bytes than this
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_unpacked_size(archive: zipfile.ZipFile, path: str) -> None:
    """Check that a .npz file can be unpacked without filling the memory, and that its arrays match their headers.

    Args:
        archive: the open file, written by ``numpy.savez`` or ``numpy.savez_compressed``.
        path: path of the file, for messages.

    Raises:
        DataError: the file unpacks to more than 64 MiB and to more than 200 times its packed size, uses a compression
            that NumPy does not write, or contains an array whose size does not match its header.
        Exception: the archive is damaged. The exception can have any type.
    """
    entries = archive.infolist()
    packed, unpacked = (sum(getattr(entry, key) for entry in entries) for key in ("compress_size", "file_size"))
    if unpacked > (limit := max(_ALWAYS, MAX_RATIO * packed)):
        raise DataError(
            f"{path}: expected {packed} compressed bytes to unpack to at most {limit} bytes, found {unpacked} bytes. "
            "Arrays of images and numbers compress less, so the file may be damaged or harmful. Create it again."
        )
    for entry in entries:
        if entry.compress_type not in _METHODS:
            raise DataError(
                f"{path}: {shown(entry.filename)}: expected ZIP method 0 (no compression) or 8 (deflate), as NumPy "
                f"writes, found ZIP method {entry.compress_type}. Write the file again with numpy.savez_compressed"
            )
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            needed = file.tell() + dtype.itemsize * int(np.prod([int(side) for side in shape], dtype=object))
        if needed != entry.file_size and not dtype.hasobject:
            raise DataError(
                f"{path}: {shown(entry.filename)}: expected {needed} bytes for an array of shape "
                f"{shown(shape)}, found {entry.file_size} bytes. The file is damaged. Create it again"
            )
