"""Run exported TorchScript and ONNX files."""

import io
import json
import os
import warnings
from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401 (registers operators that TorchScript files use)

from seesaw_d2.errors import ConfigError, DataError, SeesawError, WeightsError
from seesaw_d2.export.checksums import check_content, is_torchscript
from seesaw_d2.export.graph import INPUT
from seesaw_d2.export.onnx import METADATA_KEY
from seesaw_d2.export.onnx_requirements import need
from seesaw_d2.export.torchscript import METADATA_FILE
from seesaw_d2.utils.messages import json_type, reason, shown
from seesaw_d2.utils.regular_files import open_regular


class ExportedModel:
    """Load a TorchScript or ONNX file written by ``tools/export.py``. Call the object to run the model on an image.

    Args:
        source: path of the file, or its content as bytes.
        threads: number of threads of onnxruntime, >= 1. If None, onnxruntime chooses the number. TorchScript ignores
            this argument and uses PyTorch's number of threads.

    Attributes:
        metadata: dict with the metadata in the file, such as class names and image size. ``docs/deployment.md``
            describes the keys.

    Raises:
        WeightsError: the file was not written by ``tools/export.py``, or is damaged.
        ConfigError: ``threads`` is invalid, or the file is ONNX, but onnxruntime is not installed.
    """

    def __init__(self, source: str | os.PathLike | bytes, *, threads: int | None = None):
        if threads is not None and (not isinstance(threads, (int, np.integer)) or not 1 <= threads < 2**31):
            raise ConfigError(f"threads: expected an integer >= 1 or None, found {threads!r}")
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
        except Exception as error:  # loading a damaged file raises errors of many types
            raise WeightsError(
                f"{name}: cannot load this file as a model that tools/export.py exported: {reason(error)}"
            ) from error
        if problem := _problem(self.metadata):
            raise WeightsError(f"{name}: metadata: {problem}")

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Run the model on an image. Return a dict from the name of each output, such as "boxes", to an array.

        ``metadata["outputs"]`` describes the outputs.

        Args:
            image: uint8 (3, height, width), resized as described in ``metadata``.

        Raises:
            DataError: the image has a wrong dtype or shape.
            WeightsError: the runtime cannot run the model, or ``metadata`` has a wrong number of output names.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            raise DataError(
                f"image: expected dtype uint8 and shape (3, H, W), found dtype {image.dtype} and shape {image.shape}"
            )
        size = self.metadata.get("size")
        if size is not None and image.shape[1:] != (size, size):
            raise DataError(f"image: expected {size} x {size} pixels, found {image.shape[1]} x {image.shape[2]}")
        try:
            outputs = self._run(np.ascontiguousarray(image))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise WeightsError(f"{self._name}: the model raised an error for this image: {reason(error)}") from error
        if len(outputs) != len(self.metadata["outputs"]):
            raise WeightsError(
                f'{self._name}: metadata: "outputs": expected {len(outputs)} names, one for each output of the model, '
                f"found {len(self.metadata['outputs'])} names"
            )
        return dict(zip(self.metadata["outputs"], outputs, strict=True))


def _problem(metadata: Any) -> str:
    """Return a description of the first error in the metadata of a file, or "" for valid metadata."""
    if not isinstance(metadata, dict):
        return f"expected an object, found {json_type(metadata)}"
    outputs, size = metadata.get("outputs"), metadata.get("size")
    if not isinstance(outputs, dict):
        return f'"outputs": expected an object whose keys are the names of outputs, found {shown(outputs)}'
    if size is not None and (type(size) is not int or not 0 < size < 2**31):
        return f'"size": expected a positive integer (number of pixels), found {shown(size)}'
    return ""


def _read(path: str) -> bytes:
    try:
        with open_regular(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the file: {error.strerror}") from error


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
    options.log_severity_level = 3  # 3 = errors. By default, onnxruntime also logs warnings
    if threads is not None:
        options.intra_op_num_threads = int(threads)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise RuntimeError(str(error)) from error
    return lambda image: session.run(None, {INPUT: image}), session.get_modelmeta().custom_metadata_map[METADATA_KEY]
