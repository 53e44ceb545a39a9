"""Export a model, compare the outputs of the exported and the original model, and write the file."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.export.checksums import with_checksum
from seesaw_d2.export.exported_model import ExportedModel
from seesaw_d2.export.graph import predict
from seesaw_d2.export.metadata import describe
from seesaw_d2.export.onnx import METADATA_KEY, to_onnx
from seesaw_d2.export.onnx_requirements import need
from seesaw_d2.export.supported_models import check_exportable, check_options
from seesaw_d2.export.torchscript import METADATA_FILE, to_torchscript
from seesaw_d2.export.verification import Tolerance, compare
from seesaw_d2.predict.predictor import DTYPES, check_channels, load_predictor, prepare
from seesaw_d2.train.preflight.config_checks import check_names, resolve_device
from seesaw_d2.train.preflight.keys import Layer, check_written
from seesaw_d2.train.preflight.start_weights import check_trained
from seesaw_d2.train.tasks import DETECTION, task_of
from seesaw_d2.utils.atomic_files import atomic_file, check_writable
from seesaw_d2.utils.own_files import check_replaceable

SUFFIXES = {"torchscript": ".ts", "onnx": ".onnx"}
# Each exported file contains the text of its format. --overwrite replaces a file only if it contains this text.
_MARKS = {"torchscript": f"extra/{METADATA_FILE}", "onnx": METADATA_KEY}
TOLERANCES = {
    ("torchscript", "float32"): Tolerance(),
    ("onnx", "float32"): Tolerance(),
    # Both models run under autocast. The results still differ, because PyTorch fuses layers of the exported model, and
    # a fused layer rounds differently.
    ("torchscript", "bfloat16"): Tolerance(0.05, 0.05),
    ("torchscript", "float16"): Tolerance(0.01, 0.01),
    # The original model runs in float32, the exported model in float16. Therefore, detections near the score threshold
    # can appear or disappear. With own=1.0, a difference may be as large as between float32 and bfloat16, which is 3
    # bits less precise than float16.
    ("onnx", "float16"): Tolerance(0.01, 0.1, 0.1, mean_masks=True, own=1.0),
}


@dataclass
class Exported:
    """Describe an exported file and its comparison with the original model.

    Attributes:
        path: path of the file.
        size: size of the file in bytes.
        images: (height, width) of each image in the comparison.
        detections: number of detections of the original model in each image.
        differences: dict from the name of an output to the largest difference over all images (see ``compare``).
        unknown_data: reason why the names of the classes are unknown, or "" if they are known.
    """

    path: str
    size: int
    images: list[tuple[int, int]]
    detections: list[int]
    differences: dict[str, float]
    unknown_data: str


def export_model(
    cfg: CfgNode,
    output: str,
    file_format: str,
    *,
    dtype: str = "float32",
    picture: np.ndarray | None = None,
    overwrite: bool = False,
    written: Sequence[Layer] = (),
) -> Exported:
    """Export a trained model, compare the exported model with the original, and write the file.

    Args:
        cfg: the config, with MODEL.WEIGHTS. This function does not modify it.
        output: path of the file, or of a folder in which to write ``model.ts`` or ``model.onnx``.
        file_format: "torchscript" or "onnx".
        dtype: dtype of the layers: "float32", "float16" or, only for TorchScript, "bfloat16". With half precision, a
            TorchScript model runs under autocast and keeps float32 weights, whereas an ONNX file stores the weights of
            layers in float16.
        picture: uint8 (H, W, 3) BGR, image for the comparison, preferably with objects. Default: noise. The comparison
            also uses a crop and the flipped negative of the image.
        overwrite: if True, replace an existing file. If False, raise an error if the file exists.
        written: config keys that the user wrote in each file and on the command line (``written_layers``). Keys without
            effect are an error.

    Raises:
        SeesawError: the config, the weights or ``output`` is wrong, a module of the model cannot be exported, or the
            outputs of the exported and the original model differ too much. No file is written in these cases.
    """
    check_options(file_format, dtype)
    check_channels(cfg)
    cfg = cfg.clone()
    cfg.defrost()
    if file_format == "onnx":
        need("onnx", "onnxscript", "onnxruntime")
        cfg.MODEL.DEVICE = "cpu"
    path = _target(output, file_format, overwrite)
    resolve_device(cfg, training=False)
    check_names(cfg)
    check_written(cfg, written)
    check_trained(cfg, "Add MODEL.WEIGHTS path")
    model, names, unknown_data = load_predictor(cfg, lambda cfg, model: check_exportable(cfg, model, file_format))
    model.requires_grad_(False)  # otherwise .numpy() fails on outputs of the TorchScript model
    images = _images(cfg, picture)
    expected, again = _outputs(model, images, file_format, dtype)
    metadata = json.dumps(describe(cfg, model, dtype, names))
    content = with_checksum(_capture(model, images[0], file_format, metadata, dtype))
    differences = compare(ExportedModel(content), images, expected, again, TOLERANCES[file_format, dtype])
    with atomic_file(path, needed=len(content)) as file:
        file.write(content)
    return Exported(
        path=path,
        size=len(content),
        images=[image.shape[1:] for image in images],
        detections=[len(each.get("classes", ())) for each in expected],
        differences=differences,
        unknown_data=unknown_data,
    )


def _target(output: str, file_format: str, overwrite: bool) -> str:
    """Return the path of the exported file.

    Args:
        output: path of the file, or of a folder in which to write ``model.ts`` or ``model.onnx``.
        file_format: "torchscript" or "onnx".
        overwrite: if True, an existing file that this program exported may be replaced.

    Raises:
        SeesawError: the file cannot be written, has a wrong extension, or exists and must not be replaced.
    """
    suffix = SUFFIXES[file_format]
    path = output if output.endswith(suffix) else os.path.join(output, f"model{suffix}")
    other = os.path.splitext(output)[1]
    if path != output and other and not os.path.isdir(output):
        raise ConfigError(
            f"--output {output}: expected a folder or a file name that ends in {suffix} with --format {file_format}, "
            f"found a file name that ends in {other}"
        )
    if os.path.isdir(path):
        raise ConfigError(f"--output {path}: expected a file, found a folder")
    if os.path.lexists(path) and not overwrite:
        raise ConfigError(
            f"--output {path}: the file already exists. Choose another name, or replace the file with --overwrite."
        )
    check_replaceable(path, _MARKS[file_format], "a model exported by this program")
    check_writable(os.path.dirname(os.path.abspath(path)), "--output")
    return path


def _images(cfg: CfgNode, picture: np.ndarray | None) -> list[np.ndarray]:
    """Return three images for the comparison of the models: an image, a crop, and the vertically flipped negative.

    Each image is uint8 (3, height, width). A classifier has a fixed image size. Therefore, its second image is mirrored
    instead of cropped.

    Args:
        cfg: config of the model. The image is resized as in evaluation.
        picture: uint8 (height, width, 3) BGR. If None, the image is noise.
    """
    if picture is None:
        picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    image = prepare(cfg, picture)
    height, width = image.shape[1:]
    crop = slice(max(height * 3 // 4, 1)), slice(max(width * 7 // 8, 1))
    part = image[(slice(None), *crop)] if task_of(cfg) is DETECTION else image[:, :, ::-1]
    return [image, np.ascontiguousarray(part), np.ascontiguousarray(255 - image[:, ::-1])]


def _eager(model: nn.Module, image: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    found = predict(model, torch.from_numpy(image).to(model.device), DTYPES[dtype])
    return {name: values.cpu().numpy() for name, values in found.items()}


def _outputs(model: nn.Module, images: list[np.ndarray], file_format: str, dtype: str) -> tuple[list, list]:
    """Return the outputs of the original model for each image, and the same outputs with different rounding errors."""
    compared = "float32" if file_format == "onnx" else dtype
    expected = [_eager(model, image, compared) for image in images]
    if compared == dtype:
        return expected, _in_another_order(model, images, dtype)
    return expected, [_eager(model, image, "bfloat16") for image in images]


def _in_another_order(model: nn.Module, images: list[np.ndarray], dtype: str) -> list[dict[str, np.ndarray]]:
    """Return the outputs of the original model for each image, computed in channels-last memory format.

    This format changes the order of additions and so the rounding errors. From the changes of the outputs, ``compare``
    estimates the size of the rounding errors. ``dtype`` is the dtype of the layers, such as "float32".
    """
    model.to(memory_format=torch.channels_last)
    try:
        return [_eager(model, image, dtype) for image in images]
    finally:
        model.to(memory_format=torch.contiguous_format)


def _capture(model: nn.Module, image: np.ndarray, file_format: str, metadata: str, dtype: str) -> bytes:
    tensor = torch.from_numpy(image).to(model.device)
    if file_format == "onnx":
        return to_onnx(model, tensor, metadata, half=dtype == "float16")
    return to_torchscript(model, tensor, metadata, DTYPES[dtype])
