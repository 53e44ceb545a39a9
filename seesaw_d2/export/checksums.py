"""Add checksums to exported files, and check the checksums to detect damaged files.

PyTorch and onnxruntime ignore the checksums. A checksum does not protect against an attacker, who can also change the
checksum.
"""

import io
import zipfile
import zlib

from seesaw_d2.errors import WeightsError
from seesaw_d2.weights.torch_files import check_archive, seal

_KEY = b"seesaw_d2_crc32"
_DIGITS = 8
# Protobuf bytes that start a metadata entry at the end of an ONNX file (field 14 of ModelProto, metadata_props): the
# key (field 1), and the tag and length of the value (field 2). The value, 8 hexadecimal digits, follows these bytes.
_ENTRY = bytes([114, 4 + len(_KEY) + _DIGITS, 10, len(_KEY)]) + _KEY + bytes([18, _DIGITS])


def with_checksum(content: bytes) -> bytes:
    """Return the content of a TorchScript or ONNX file with a checksum appended."""
    if not is_torchscript(content):
        return content + _ENTRY + _digits(content)
    file = io.BytesIO(content)
    seal(file)
    return file.getvalue()


def check_content(content: bytes, name: str) -> None:
    """Raise WeightsError, or an exception of ``zipfile``, if the content of a file does not match the checksum.

    This function accepts files of earlier versions: ONNX files without a checksum, and TorchScript archives that have
    only the checksums of the zip format. ``name`` is the file name in the error message.
    """
    if is_torchscript(content):
        with io.BytesIO(content) as file, zipfile.ZipFile(file) as archive:
            check_archive(archive, file, name)
        return
    body, end = content[: -len(_ENTRY) - _DIGITS], content[-len(_ENTRY) - _DIGITS :]
    if end.startswith(_ENTRY) and end != _ENTRY + _digits(body):
        raise WeightsError(
            f"{name}: the file is damaged, because its content does not match its checksum. Copy or export it again."
        )


def is_torchscript(content: bytes) -> bool:
    """Return True for the content of a TorchScript file, which is a zip archive, and False for an ONNX file."""
    return content[:2] == b"PK"


def _digits(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)
