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
# An ONNX file ends with these bytes and a checksum of 8 hexadecimal digits. Together they form a key and a value in the
# metadata of the file, in Protobuf format: tag and length of field 14 of ModelProto (metadata_props), tag, length and
# content of the key (field 1), tag and length of the value (field 2).
_ENTRY = bytes([114, 4 + len(_KEY) + _DIGITS, 10, len(_KEY)]) + _KEY + bytes([18, _DIGITS])


def with_checksum(content: bytes) -> bytes:
    """Append a checksum to the content of a TorchScript or ONNX file. Return the new content."""
    if not is_torchscript(content):
        return content + _ENTRY + _digits(content)
    file = io.BytesIO(content)
    seal(file)
    return file.getvalue()


def check_content(content: bytes, name: str) -> None:
    """Check that the content of a TorchScript or ONNX file matches the checksum in the content.

    Earlier versions of this project wrote no checksum. Their ONNX files are accepted unchecked. Of their TorchScript
    files, only the checksums of the zip format are checked.

    Args:
        content: content of the file.
        name: name of the file, for the error message.

    Raises:
        WeightsError: the content does not match its checksum. For a TorchScript file, which is a zip archive,
            exceptions of ``zipfile`` are also possible.
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
