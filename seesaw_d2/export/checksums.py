"""Checksums that reveal damaged exported files. Programs that run the files ignore them.

They do not protect against deliberate changes: an exported model is a program.
"""

import io
import zipfile
import zlib

from seesaw_d2.errors import WeightsError
from seesaw_d2.weights.torch_files import check_archive, seal

_KEY = b"seesaw_d2_crc32"
_DIGITS = 8
# An entry of ONNX's ModelProto.metadata_props (field 14): a key (field 1) and a value (field 2), before the value.
_ENTRY = bytes([114, 4 + len(_KEY) + _DIGITS, 10, len(_KEY)]) + _KEY + bytes([18, _DIGITS])


def with_checksum(content: bytes) -> bytes:
    """Return the content of a TorchScript or ONNX file with a checksum at its end."""
    if not is_torchscript(content):
        return content + _ENTRY + _digits(content)
    file = io.BytesIO(content)
    seal(file)
    return file.getvalue()


def check_content(content: bytes, name: str) -> None:
    """Raise WeightsError, or another error of ``zipfile``, if a file does not match its checksum.

    Files of earlier versions have none for ONNX, and only those of the archive's records for TorchScript.
    """
    if is_torchscript(content):
        with io.BytesIO(content) as file, zipfile.ZipFile(file) as archive:
            check_archive(archive, file, name)
        return
    body, end = content[: -len(_ENTRY) - _DIGITS], content[-len(_ENTRY) - _DIGITS :]
    if end.startswith(_ENTRY) and end != _ENTRY + _digits(body):
        raise WeightsError(f"{name}: damaged: the content does not match its checksum")


def is_torchscript(content: bytes) -> bool:
    """Return whether a file is a zip archive, as those of TorchScript are."""
    return content[:2] == b"PK"


def _digits(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)
