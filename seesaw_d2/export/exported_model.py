"""Run exported files according to their metadata."""

import io
import json
import os
import warnings
from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401  registers operators of TorchScript files

from seesaw_d2.errors import DataError, SeesawError, WeightsError
from seesaw_d2.export.checksums import check_content, is_torchscript
from seesaw_d2.export.graph import INPUT
from seesaw_d2.export.onnx import METADATA_KEY
from seesaw_d2.export.onnx_requirements import need
from seesaw_d2.export.torchscript import METADATA_FILE
from seesaw_d2.utils.messages import json_type, reason, shown
from seesaw_d2.utils.regular_files import open_regular


class ExportedModel:
    """A TorchScript or ONNX file written by ``tools/export.py``, as a callable that maps an image to arrays.

    Args:
        source: path or content of the file.
        threads: number of threads of onnxruntime. None: its default. TorchScript uses PyTorch's threads.

    Attributes:
        metadata: the file's metadata, see ``docs/deployment.md``.

    Raises:
        WeightsError: ``tools/export.py`` did not write the file, or the file is damaged.
        ConfigError: the file is ONNX and onnxruntime is missing.
    """

    def __init__(self, source: str | os.PathLike | bytes, *, threads: int | None = None):
        self._name = name = "exported model" if isinstance(source, bytes) else os.fspath(source)
        content = source if isinstance(source, bytes) else _read(name)
        try:
            check_content(content, name)
            if is_torchscript(content):
                self._run, text = _torchscript(content)
            else:
                self._run, text = _onnx(content, threads)
            self.metadata = json.loads(text)
        except SeesawError:
            raise
        except Exception as error:  # readers of damaged files raise many types
            raise WeightsError(f"{name}: expected a file written by tools/export.py: {reason(error)}") from error
        if problem := _problem(self.metadata):
            raise WeightsError(f"{name}: metadata: {problem}")

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Return an array for each of ``metadata["outputs"]``.

        Args:
            image: (3, H, W) uint8, resized according to the metadata.

        Raises:
            DataError: the image has another type or shape.
            WeightsError: the model cannot be run.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            raise DataError(f"image: expected uint8 (3, H, W), found {image.dtype} {image.shape}")
        size = self.metadata.get("size")
        if size is not None and image.shape[1:] != (size, size):
            raise DataError(f"image: expected {size} x {size} pixels, found {image.shape[1]} x {image.shape[2]}")
        try:
            outputs = self._run(np.ascontiguousarray(image))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise WeightsError(f"{self._name}: cannot be run: {reason(error)}") from error
        if len(outputs) != len(self.metadata["outputs"]):
            raise WeightsError(
                f"{self._name}: metadata: expected the names of {len(outputs)} outputs, found "
                f"{len(self.metadata['outputs'])}"
            )
        return dict(zip(self.metadata["outputs"], outputs, strict=True))


def _problem(metadata: Any) -> str:
    """Return what is wrong with the metadata of a file; "" if nothing is."""
    if not isinstance(metadata, dict):
        return f"expected an object, found {json_type(metadata)}"
    outputs, size = metadata.get("outputs"), metadata.get("size")
    if not isinstance(outputs, dict):
        return f'"outputs": expected an object with the names, found {shown(outputs)}'
    if size is not None and (type(size) is not int or not 0 < size < 2**31):
        return f'"size": expected a number of pixels, found {shown(size)}'
    return ""


def _read(path: str) -> bytes:
    try:
        with open_regular(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error


def _torchscript(content: bytes):
    files = {METADATA_FILE: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, see docs/deployment.md
        model = torch.jit.load(io.BytesIO(content), _extra_files=files)
    device = next((each.device for each in (*model.parameters(), *model.buffers())), torch.device("cpu"))

    def run(image):
        with torch.no_grad():
            found = model(torch.from_numpy(image).to(device))
        return [each.cpu().numpy() for each in (found if isinstance(found, tuple) else (found,))]

    return run, files[METADATA_FILE]


def _onnx(content: bytes, threads: int | None):
    need("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise RuntimeError(str(error)) from error
    return lambda image: session.run(None, {INPUT: image}), session.get_modelmeta().custom_metadata_map[METADATA_KEY]
