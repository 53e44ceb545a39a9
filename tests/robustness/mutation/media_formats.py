"""Define the mutation tests of images in a training, and of the metadata of exported models."""

import importlib.util
import json
import os
import random
from functools import cache
from pathlib import Path

import numpy as np
import torch
from detectron2.data import DatasetMapper

from seesaw_d2.data.classification.mapper import read_rgb
from seesaw_d2.data.images.decoding_check import _examine
from seesaw_d2.data.images.mapper import CheckedMapper
from seesaw_d2.errors import SeesawError
from seesaw_d2.export import ExportedModel
from seesaw_d2.export.onnx import METADATA_KEY, OPSET
from seesaw_d2.export.torchscript import METADATA_FILE
from tests.data.toy import HEIGHT, WIDTH, make_cfg
from tests.robustness.image_cases import encoded, picture
from tests.robustness.mutation.formats import Format
from tests.robustness.mutation.mutators import JSON, PNG, in_records, mutate_bytes

KINDS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "tiff": "TIFF", "bmp": "BMP"}
METADATA = {
    "version": 1,
    "task": "classification",
    "outputs": {"scores": "float32 (2,)"},
    "classes": ["a", "b"],
    "size": 8,
    "x": None,
}


def _write_images(folder: Path) -> None:
    for ending, kind in KINDS.items():
        (folder / f"x.{ending}").write_bytes(encoded(picture(), kind))


@cache
def _mapper() -> DatasetMapper:
    return DatasetMapper(make_cfg(), is_train=True)


def _read_images(folder: Path) -> None:
    """Read images as training, evaluation, an image classifier and the doctor do. Finally, raise the first error."""
    errors: list[SeesawError] = []
    for name in sorted(os.listdir(folder)):
        path = str(folder / name)
        record = {"file_name": path, "width": WIDTH, "height": HEIGHT, "image_id": 1, "annotations": []}
        _examine((path, (WIDTH, HEIGHT)))
        try:
            assert CheckedMapper(_mapper())(record)["image"].shape[0] == 3
        except SeesawError as error:
            errors.append(error)
            blank = CheckedMapper(read_rgb_of)
            try:
                blank(record)
            except SeesawError as other:
                errors.append(other)
    if errors:
        raise errors[0]


def read_rgb_of(record: dict) -> np.ndarray:
    return np.asarray(read_rgb(record["file_name"]))


class _Model(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().mean(dim=(1, 2))


def _write_exported(folder: Path) -> None:
    traced = torch.jit.trace(_Model(), (torch.zeros(3, 8, 8, dtype=torch.uint8),))
    torch.jit.save(traced, folder / "a.pt", _extra_files={METADATA_FILE: json.dumps(METADATA)})


def _write_onnx(folder: Path) -> None:
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Cast", ["image"], ["scores"], to=TensorProto.FLOAT)]
    values = [helper.make_tensor_value_info("image", TensorProto.UINT8, [3, "h", "w"])]
    found = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [3, "h", "w"])]
    model = helper.make_model(
        helper.make_graph(nodes, "a", values, found), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8
    )
    helper.set_model_props(model, {METADATA_KEY: json.dumps(METADATA)})
    (folder / "a.onnx").write_bytes(model.SerializeToString())


def _read_exported(folder: Path) -> None:
    (path,) = folder.iterdir()
    assert len(ExportedModel(path, threads=1)(np.zeros((3, 8, 8), np.uint8))) == 1


def _onnx_metadata(content: bytes, rng: random.Random) -> bytes:
    import onnx

    model = onnx.load_model_from_string(content)
    text = JSON(model.metadata_props[0].value.encode(), rng)
    model.metadata_props[0].value = text.decode("utf-8", "replace")
    return model.SerializeToString()


FORMATS = [
    Format("images", _write_images, _read_images, {"x.png": PNG, "x.*": mutate_bytes}),
    Format("torchscript", _write_exported, _read_exported, {"a.pt": in_records("metadata", JSON)}, share=0.5),
]
if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
    FORMATS.append(Format("onnx", _write_onnx, _read_exported, {"a.onnx": _onnx_metadata}, share=0.5))
