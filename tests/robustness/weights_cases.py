"""Define broken and hostile files of weights: code in every format, truncated files, bombs, invalid tensors."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch

from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.weights.file_checks import check_weights_file
from tests.robustness.corpus import Call, Case, cases, raw
from tests.robustness.weights_makers import (
    WEIGHT,
    archive,
    bomb,
    climbing,
    code,
    model_of,
    nested,
    of,
    pickled,
    replaced,
    saved,
    script,
    tar,
    tensors,
    torn,
    without,
)


def read(path: str) -> None:
    """Check the file and load it into a model, as a job does."""
    check_weights_file(path)
    model = torch.nn.Linear(3, 2, bias=False)
    SeesawCheckpointer(model, strict=True).load(path, checkpointables=[])
    assert model.weight.isfinite().all()


ITSELF: dict = {"model": {"weight": WEIGHT}}
ITSELF["model"]["self"] = ITSELF
HOLDS = r"expected .*, found .*"
TORN = r"w\.pth: "
NO_SAFETENSORS = r"w\.safetensors: .*safetensors: "
# Valid pickle of weights, in the layout of Detectron2. A case truncates this pickle.
ARRAY = pickle.dumps({"model": {"weight": WEIGHT}, "__author__": "me"}, 4)
DEEP_STATE = b"\x80\x02cnumpy\nndarray\n)R(K\x01(K\x02K\x02tNK\x00C\x04abcdtb."

CASES: list[Case] = cases(
    "weights",
    {
        "empty": (raw("w.pth", b""), TORN),
        "text": (raw("w.pth", "version https://git-lfs.github.com/spec/v1\n"), TORN),
        "JSON": (raw("w.json", "{}"), r"w\.json: "),
        "torn in the data": (torn(100_000), TORN),
        "torn at the start": (torn(50), TORN),
        "torn, before 1.6": (
            raw("w.pth", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M"),
            r"w\.pth: ",
        ),
        "code": (code(saved), rf"w\.pth: {HOLDS}posix\.system"),
        "code, before 1.6": (code(saved, zipped=False), rf"w\.pth: {HOLDS}posix\.system"),
        "code by eval": (code(saved, eval), rf"w\.pth: {HOLDS}builtins\.eval"),
        "code in a pickle": (code(pickled), rf"w\.pkl: {HOLDS}posix\.system"),
        "code in a pickle by exec": (code(pickled, exec, protocol=0), rf"w\.pkl: {HOLDS}\w+\.exec"),
        "code in a .pth that is a pickle": (code(pickled, name="w.pth"), r"w\.pth: "),
        "code in pycls's file": (code(saved, name="w.pyth"), rf"w\.pyth: {HOLDS}posix\.system"),
        "code in a file without ending": (code(saved, name="w"), rf"w: {HOLDS}posix\.system"),
        "getattr": (pickled({"model": Call(getattr, "", "join")}), rf"{HOLDS}builtins\.getattr"),
        "numpy's loader": (pickled({"model": Call(np.load, "x")}), rf"{HOLDS}numpy\.load"),
        "a whole model": (saved(torch.nn.Linear(3, 2)), rf"{HOLDS}torch\.nn\.modules\.linear\.Linear"),
        "a tensor in a pickle": (pickled({"model": {"weight": torch.ones(2, 3)}}), rf"w\.pkl: {HOLDS}torch\._utils"),
        "TorchScript": (script, r"w\.pth: "),
        "a tar with paths outside": (tar, r"w\.pth: "),
        "a zip bomb": (archive(bomb), r"w\.pth: .*compressed"),
        "a zip with paths outside": (archive(climbing), r"w\.pth: "),
        "a zip without data": (archive(without("data/0")), r"w\.pth: "),
        "a zip without its pickle": (archive(without("data.pkl")), r"w\.pth: "),
        "a zip of something else": (
            lambda folder: (zipfile.ZipFile(folder / "w.pth", "w").close(), str(folder / "w.pth"))[1],
            r"w\.pth: ",
        ),
        "a shape beyond the data": (
            archive(replaced("data.pkl", b"K\x02K\x03\x86", b"J\xff\xff\xff\x7fK\x03\x86")),
            r"w\.pth",
        ),
        "another number of axes": (archive(replaced("data.pkl", b"K\x02K\x03\x86", b"K\x02\x85")), r"w\.pth"),
        "a list": (saved([1, 2]), r"w\.pth: .*found a list"),
        "a tensor alone": (saved(torch.ones(3)), r"w\.pth: .*found a Tensor"),
        "weights that are a list": (saved({"model": [1]}), r"w\.pth: .*found a list"),
        "other programs' weights": (saved({"state_dict": {}, "epoch": 1}), r"'state_dict': expected a tensor"),
        "numbers as names": (saved({"model": {1: torch.ones(2, 3)}}), r"w\.pth: .*found 1"),
        "no weights": (saved({"model": {}}), r"w\.pth: .*not match the model"),
        "nan": (model_of(torch.full((2, 3), torch.nan)), r"w\.pth: expected finite weights, found NaN"),
        "infinity": (model_of(torch.full((2, 3), torch.inf)), r"w\.pth: expected finite weights"),
        "beyond float32": (
            model_of(torch.full((2, 3), 1e300, dtype=torch.float64)),
            r"w\.pth: expected finite weights",
        ),
        "another shape": (model_of(torch.ones(3, 2)), r"weight: expected shape \(2, 3\), found \(3, 2\)"),
        "10^14 elements in 4 bytes": (model_of(torch.ones(1, 1).expand(10**7, 10**7)), r"found \(10000000, 10000000\)"),
        "integers": (
            model_of(torch.ones(2, 3, dtype=torch.int8)),
            r"weight: expected .*torch\.float32, found torch\.int8",
        ),
        "truth values": (model_of(torch.ones(2, 3, dtype=torch.bool)), r"weight: expected .*torch\.float32"),
        "complex numbers": (model_of(torch.ones(2, 3, dtype=torch.complex64)), r"weight: expected .*torch\.float32"),
        "a sparse tensor": (model_of(torch.ones(2, 3).to_sparse()), r"weight: expected .*torch\.float32 .*|sparse"),
        "a quantized tensor": (
            lambda folder: model_of(torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8))(folder),
            r"weight: expected .*torch\.float32",
        ),
        "a tensor without memory": (model_of(torch.ones(2, 3, device="meta")), r"weight: expected .*found .*meta"),
        "half precision": (model_of(torch.ones(2, 3).half()), None),
        "an array": (model_of(WEIGHT), None),
        "an array of objects": (pickled({"weight": np.array([object], dtype=object)}), r"w\.pkl: .*"),
        "an array of records": (
            pickled({"weight": np.zeros(2, [("a", "f4")])}),
            r"w\.pkl: .* type 'V4'",
        ),
        "an array beyond its data": (raw("w.pkl", DEEP_STATE), r"w\.pkl: "),
        "an array in a torn pickle": (raw("w.pkl", ARRAY[:-30]), r"w\.pkl: "),
        "a pickle of text": (raw("w.pkl", "hello"), r"w\.pkl: "),
        "a pickle that holds itself": (pickled(ITSELF), r"w\.pkl: .*expected a tensor"),
        "200,000 lists in each other": (nested, r"w\.pkl: .*nested levels"),
        "a pickle that claims 2^60 bytes": (
            raw("w.pkl", b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x"),
            r"w\.pkl: ",
        ),
        "a pickle with memory cell 2^31": (
            raw("w.pkl", b"\x80\x04Nr\xff\xff\xff\x7f."),
            r"w\.pkl: .*2147483647",
        ),
        "safetensors, right": (tensors(of(), WEIGHT.tobytes()), None),
        "safetensors, empty": (raw("w.safetensors", b""), NO_SAFETENSORS),
        "safetensors, a header beyond the file": (tensors(of(), length=2**40), NO_SAFETENSORS),
        "safetensors, 2^63": (tensors(of(), length=2**63), NO_SAFETENSORS),
        "safetensors, a header that is no JSON": (tensors(b"{" * 50), NO_SAFETENSORS),
        "safetensors, data beyond the file": (tensors(of(data_offsets=[0, 48])), NO_SAFETENSORS),
        "safetensors, offsets backwards": (tensors(of(data_offsets=[24, 0])), NO_SAFETENSORS),
        "safetensors, a shape beyond the data": (tensors(of(shape=[2**40, 2**40])), NO_SAFETENSORS),
        "safetensors, an unknown type": (tensors(of(dtype="F99")), NO_SAFETENSORS),
        "safetensors that is a pickle": (code(pickled, name="w.safetensors"), NO_SAFETENSORS),
        "a folder": (raw("w.pth", Path.mkdir), r"w\.pth: .*found a directory"),
        "a pipe": (raw("w.pth", os.mkfifo), r"w\.pth: .*found a pipe"),
        "a device": (
            raw("w.pth", lambda path: path.symlink_to("/dev/zero")),
            r"w\.pth: .*found a device",
        ),
        "missing": (raw("w.pth", lambda path: None), r"w\.pth: no such file"),
        "a link to itself": (raw("w.pth", lambda path: path.symlink_to(path)), r"w\.pth: .*not exist"),
    },
)
