"""Test labelled images in a single file of NumPy arrays."""

import numpy as np
import pytest

from seesaw_d2.data.classification.sources import parse_labelled_images
from seesaw_d2.errors import ConfigError, DataError

GREY = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)
RIGHT = {"images": GREY, "labels": np.array([0, 1, 1, 2]), "names": np.array(["a", "b", "c"])}


def load(path, **arrays):
    np.savez(path, **arrays)
    return parse_labelled_images({"NAME": "x", "NPZ": str(path)}, "R[0]").load()


@pytest.mark.parametrize("color", [False, True])
def test_images(tmp_path, color):
    images = np.stack([GREY, GREY + 50, GREY + 100], axis=-1) if color else GREY
    records = load(tmp_path / "x.npz", **{**RIGHT, "images": images})
    assert [record["annotations"][0]["category_id"] for record in records] == [0, 1, 1, 2]
    expected = images if color else np.repeat(GREY[..., None], 3, axis=-1)
    assert (np.stack([record["array"] for record in records]) == expected).all()


def test_long_tailed_part(tmp_path):
    np.savez(tmp_path / "x.npz", **{**RIGHT, "labels": np.array([0, 0, 1, 1]), "names": np.array(["a", "b"])})
    value = {"NAME": "x", "NPZ": str(tmp_path / "x.npz"), "IMBALANCE": 2}
    assert len(parse_labelled_images(value, "R[0]").load()) == 3


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"images": GREY.astype(float)}, '"images": .*float64'),
        ({"images": GREY[0]}, r"\"images\": .*\(3, 2\)"),
        ({"images": np.zeros((4, 3, 2, 4), np.uint8)}, r"\"images\": .*\(4, 3, 2, 4\)"),
        ({"labels": np.array([0, 1, 1, 3])}, r'"labels": .*found 3 at index 3'),
        ({"labels": np.array([0, -1, 1, 2])}, r'"labels": .*found -1 at index 1'),
        ({"labels": np.array([0, 1, 1])}, r'"labels": .*\(3,\)'),
        ({"labels": np.array([0.0, 1, 1, 2])}, '"labels": .*float64'),
        ({"names": np.array(["a", "b", "a"])}, '"names": .*unique.* a$'),
        ({"names": np.array(["a", "b", None], dtype=object)}, r"x\.npz"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, change, found):
    with pytest.raises(DataError, match=rf"x\.npz.*{found}" if "npz" not in found else found):
        load(tmp_path / "x.npz", **{**RIGHT, **change})


def test_what_is_no_such_file(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(ConfigError, match=r"NPZ.*x\.npz"):
        parse_labelled_images({"NAME": "x", "NPZ": str(path)}, "R[0]")
    with pytest.raises(DataError, match=r"x\.npz.*labels"):
        load(path, images=GREY, names=RIGHT["names"])
    np.savez(path, **RIGHT)
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[:200], whole[:-40], b"[]"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.npz"):
            parse_labelled_images({"NAME": "x", "NPZ": str(path)}, "R[0]").load()
    with path.open("wb") as file:
        np.save(file, GREY)
    with pytest.raises(DataError, match=r"x\.npz"):
        parse_labelled_images({"NAME": "x", "NPZ": str(path)}, "R[0]").load()
