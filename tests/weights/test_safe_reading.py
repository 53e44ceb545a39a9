"""Test reading files of weights in every format, without running code in the files."""

import io
import os
import pickle
import re
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from seesaw_d2.errors import WeightsError
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.utils.plain_pickles import load_plain_pickle
from seesaw_d2.weights.checkpoint_io import write_safetensors
from seesaw_d2.weights.safe_reading import TRUST_VARIABLE, read_weights_file

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def model():
    return torch.nn.Linear(3, 2, bias=False)


def load(path, **options):
    linear = model()
    SeesawCheckpointer(linear, strict=True, **options).load(str(path), checkpointables=[])
    return linear.weight.detach().numpy()


@given(
    arrays(st.sampled_from(["<f4", ">f8", "<i8", "|b1", "<f2", "|u1", "<c8"]), array_shapes(min_dims=0, min_side=0)),
    st.sampled_from(range(6)),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_arrays_come_back_as_they_were(array, protocol, fortran):
    array = np.asfortranarray(array) if fortran else array
    scalar = array.dtype.type(1)
    content = {"a": array, "again": [array, (array, None)], "number": scalar}
    found = load_plain_pickle(io.BytesIO(pickle.dumps(content, protocol)))
    for value in (found["a"], found["again"][0], found["again"][1][0]):
        np.testing.assert_array_equal(value, array)
        assert value.dtype == array.dtype.newbyteorder("=")
    assert found["number"] == scalar
    assert type(found["number"]) in (bool, int, float, complex)


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def array_of(size: int, data: bytes) -> bytes:
    """Return a pickle of an array of ``size`` bytes, which ``data`` creates."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
    number = b"J" + struct.pack("<i", size)
    return b"\x80\x03" + made + b"(K\x01(" + number + b"tcnumpy\ndtype\n(" + text(b"u1") + b"tRI00\n" + data + b"tb."


def test_an_array_takes_the_memory_of_its_bytes_alone():
    assert load_plain_pickle(io.BytesIO(array_of(3, b"C\x03abc"))).tolist() == [97, 98, 99]
    with pytest.raises(TypeError):  # bytes(3) gives three zeros, and bytes(10**9) gives a gigabyte of zeros
        load_plain_pickle(io.BytesIO(array_of(3, b"K\x03")))


@pytest.mark.parametrize("store", [b"r" + struct.pack("<I", 10**6), b"p1000000\n", b"q\xff"])
def test_memory_cells_are_counted_from_0(store):
    """Test the limit on memory cells. The unpickler allocates all cells up to the last. 8 bytes can request 64 GB."""
    with pytest.raises(pickle.UnpicklingError, match=r"(1000000|255)"):
        load_plain_pickle(io.BytesIO(b"\x80\x02N" + store + b"."))


def test_a_pickle_changes_nothing_for_the_next_one():
    defaults = b"cbuiltins\nbytes\n(N}" + text(b"__defaults__") + b"(" + text(b"other") + b"tstb."
    load_plain_pickle(io.BytesIO(b"\x80\x02" + defaults))
    assert load_plain_pickle(io.BytesIO(pickle.dumps(b"", 2))) == b""  # the pickle calls bytes()


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "before 1.6"])
def test_arrays_and_numbers_in_a_pth(tmp_path, zipped):
    content = {"model": OrderedDict(weight=WEIGHT), "iteration": np.int64(7), "loss": np.float32(0.5)}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert (load(tmp_path / "w.pth") == WEIGHT).all()
    found = read_weights_file(str(tmp_path / "w.pth"))
    assert (found["iteration"], found["loss"]) == (7, 0.5)
    assert type(found["model"]) is OrderedDict


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_the_model_zoos_pickles(tmp_path, protocol):
    """Test pickles of the model zoo: Detectron2's names match, Caffe2's need heuristics, and momentum is omitted."""
    zoo = {"model": {"weight": WEIGHT}, "__author__": "Detectron2 Model Zoo"}
    caffe2 = {"blobs": {"weight": WEIGHT, "weight_momentum": WEIGHT, "bias": np.zeros(2, np.float32)}}
    for name, content in (("zoo", zoo), ("caffe2", caffe2)):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(content, protocol))
    assert (load(tmp_path / "zoo.pkl") == WEIGHT).all()
    assert read_weights_file(str(tmp_path / "caffe2.pkl"))["blobs"].keys() == caffe2["blobs"].keys()
    assert (load(tmp_path / "caffe2.pkl") == WEIGHT).all()


def test_a_pickle_of_python_2(tmp_path):
    """Test a pickle of Python 2, as in Detectron1: text in place of bytes, and names of NumPy 1."""
    text = pickle.dumps({"blobs": {"weight": WEIGHT}}, 2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "old.pkl").write_bytes(text)
    assert (load(tmp_path / "old.pkl") == WEIGHT).all()


def test_safetensors(tmp_path):
    weight = torch.from_numpy(WEIGHT)
    write_safetensors(str(tmp_path / "w.safetensors"), {"weight": weight, "same": weight}, {"__author__": "me"})
    assert (load(tmp_path / "w.safetensors") == WEIGHT).all()
    assert read_weights_file(str(tmp_path / "w.safetensors"))["__author__"] == "me"


class Code:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["w.pth", "old.pth", "w.pkl", "w.pyth", "w"])
def test_code_runs_only_in_files_that_are_trusted(tmp_path, monkeypatch, name):
    path, ran = tmp_path / name, tmp_path / "ran"
    content = {"model": {"weight": WEIGHT}, "model_state": {"weight": WEIGHT}, "__author__": "x", "x": Code(str(ran))}
    if name.endswith(".pkl"):
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=name != "old.pth")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # users may set this for other projects
    monkeypatch.setenv(TRUST_VARIABLE, str(tmp_path / "other.pth"))
    with pytest.raises(WeightsError, match=rf"{name}: .*posix\.mkdir.*{TRUST_VARIABLE}=\S+{name}"):
        load(path)
    assert not ran.exists()
    monkeypatch.setenv(TRUST_VARIABLE, os.pathsep.join([str(tmp_path / "other.pth"), str(path)]))
    assert (load(path) == WEIGHT).all()
    assert ran.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((2, 3), float("nan")), r"expected finite weights, .* weight\b"),
        (torch.zeros(2, 3, dtype=torch.int64), r"weight: .*torch\.int64"),
        (torch.zeros(2, 3, dtype=torch.complex64), r"weight: .*torch\.complex64"),
        (torch.zeros(2, 3).to_sparse(), r"weight: .*torch\.sparse"),
        (torch.zeros(1, 1).expand(10**7, 10**7), r"expected shape \(2, 3\), found \(10000000, 10000000\)"),
        (np.array(["a", "b"]), r"weight: .* <U1"),
        ("text", r"'weight': expected a tensor or an array, found 'text'"),
    ],
    ids=["nan", "integers", "complex", "sparse", "huge", "text array", "text"],
)
def test_tensors_that_are_no_weights(tmp_path, value, message):
    torch.save({"model": {"weight": value}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"w\.pth: (.|\n)*{message}"):
        load(tmp_path / "w.pth")


def test_half_precision_is_taken(tmp_path):
    torch.save({"model": {"weight": torch.from_numpy(WEIGHT).half()}}, tmp_path / "w.pth")
    assert (load(tmp_path / "w.pth") == WEIGHT).all()


def test_a_checkpointer_goes_on_after_a_failure(tmp_path):
    linear = model()
    checkpointer = SeesawCheckpointer(linear)
    (tmp_path / "torn.pth").write_bytes(b"torn")
    torch.save({"weight": torch.from_numpy(WEIGHT)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"torn\.pth"):
        checkpointer.load(str(tmp_path / "torn.pth"), checkpointables=[])
    checkpointer.load(str(tmp_path / "w.pth"), checkpointables=[])
    assert (linear.weight.detach().numpy() == WEIGHT).all()


@pytest.mark.parametrize(
    "content", [b"# A page of text\n", bytes(range(255, 60, -1)), b"\x80\x02}q\x00U\x01", b"\x89PNG\r\n"]
)
@pytest.mark.parametrize("name", ["README.md", "w.pth"])
def test_nobody_is_told_to_load_a_file_without_care(tmp_path, name, content):
    """Test that messages do not advise unsafe loading, unlike PyTorch's own messages for these files."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError) as error:
        read_weights_file(str(tmp_path / name))
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert not re.search("weights_only|arbitrary|trust", str(error.value))
