"""Create the files of ``weights_cases``."""

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.robustness.corpus import CANARY, Call, raw, touching

WEIGHT = np.ones((2, 3), np.float32)


def saved(content: Any, name: str = "w.pth", zipped: bool = True) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
        return str(folder / name)

    return make


def pickled(content: Any, name: str = "w.pkl", protocol: int = 4) -> Callable[[Path], str]:
    return raw(name, pickle.dumps(content, protocol))


def code(save: Callable[..., Callable[[Path], str]], function: Callable = os.system, **options: Any):
    """Return a function that creates a file with code that would create ``CANARY``."""

    def make(folder: Path) -> str:
        other = Call(function, f"open({str(folder / CANARY)!r}, 'w')")
        call = touching(folder) if function is os.system else other
        return save({"model": {"weight": call}, "__author__": "me"}, **options)(folder)

    return make


def archive(change: Callable[[zipfile.ZipFile, zipfile.ZipFile], None]) -> Callable[[Path], str]:
    """Return a function that creates a valid file and rewrites it by ``change(old, new)``."""

    def make(folder: Path) -> str:
        right, wrong = saved({"model": {"weight": torch.ones(2, 3)}}, "right.pth")(folder), folder / "w.pth"
        with zipfile.ZipFile(right) as old, zipfile.ZipFile(wrong, "w") as new:
            change(old, new)
        os.remove(right)
        return str(wrong)

    return make


def bomb(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
    for name in old.namelist():
        big = name.endswith("data/0")
        content = bytes(300_000_000) if big else old.read(name)
        new.writestr(name.replace("right", "w"), content, zipfile.ZIP_DEFLATED if big else zipfile.ZIP_STORED)


def climbing(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
    for name in old.namelist():
        new.writestr("../../" + name, old.read(name))


def without(part: str):
    def change(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        for name in old.namelist():
            if part not in name:
                new.writestr(name.replace("right", "w"), old.read(name))

    return change


def replaced(part: str, before: bytes, after: bytes):
    def change(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(part):
                assert before in content
                content = content.replace(before, after)
            new.writestr(name.replace("right", "w"), content)

    return change


def torn(size: int) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = Path(saved({"model": {"weight": torch.ones(200, 300)}})(folder))
        path.write_bytes(path.read_bytes()[:size])
        return str(path)

    return make


def tar(folder: Path) -> str:
    """Write a file in PyTorch's first format, with members outside the folder of the archive."""
    with tarfile.open(folder / "w.pth", "w") as file:
        for name in ("storages", "tensors", "pickle", f"../{CANARY}", f"{folder}/{CANARY}"):
            info = tarfile.TarInfo(name)
            info.size = 10
            file.addfile(info, io.BytesIO(pickle.dumps(0).ljust(10)))
    return str(folder / "w.pth")


def script(folder: Path) -> str:
    torch.jit.script(torch.nn.Linear(3, 2)).save(str(folder / "w.pth"))
    return str(folder / "w.pth")


def tensors(header: Any, data: bytes = bytes(24), length: int | None = None) -> Callable[[Path], str]:
    """Write a safetensors file with the given header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return raw("w.safetensors", struct.pack("<Q", len(text) if length is None else length) + text + data)


def of(**changes: Any) -> dict[str, Any]:
    return {"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **changes}}


def nested(folder: Path) -> str:
    content: list = []
    for _ in range(200_000):
        content = [content]
    data = b"\x80\x04" + b"]" * 200_001 + b"a" * 200_000 + b"."
    return raw("w.pkl", data)(folder)


def model_of(value: Any) -> Callable[[Path], str]:
    return saved({"model": {"weight": value}})
