"""Test that the sizes in .npz files are checked before anything is unpacked."""

import io
import zipfile

import numpy as np
import pytest

from seesaw_d2.data.classification.numpy_arrays import read_arrays
from seesaw_d2.errors import DataError

PARTS = {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([0, 1]), "names": np.array(["a", "b"])}


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    return buffer.getvalue()


def archive(path, method=zipfile.ZIP_DEFLATED, **changes: bytes):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, array in PARTS.items():
            file.writestr(f"{name}.npy", changes.get(name, npy(array)))
    return str(path)


BOMBS = {
    "zeros": {"images": npy(np.zeros((100_000, 30, 30), np.uint8))},
    "bzip2": {"method": zipfile.ZIP_BZIP2},
    "xz": {"method": zipfile.ZIP_LZMA},
    "a shape beyond the data": {"images": npy(PARTS["images"]).replace(b"(2, 4, 4)", b"(99999999, 999999, 4)")},
    "data beyond the shape": {"images": npy(PARTS["images"]) + bytes(100)},
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(tmp_path, monkeypatch, name):
    path = archive(tmp_path / "a.npz", **BOMBS[name])
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("was unpacked"))
    with pytest.raises(DataError, match=r"a\.npz"):
        read_arrays(path)


def test_right_files(tmp_path):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert len(read_arrays(archive(tmp_path / "a.npz", method)).labels) == 2
    np.savez_compressed(tmp_path / "zeros.npz", **{**PARTS, "images": np.zeros((2, 3000, 3000, 3), np.uint8)})
    assert read_arrays(str(tmp_path / "zeros.npz")).arrays.shape == (2, 3000, 3000, 3)
