"""Test reading weights and metadata from files of other programs without running code."""

import os
import sys
import types
import zipfile

import numpy as np
import pytest
import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.weights.converters.foreign_checkpoints import read_foreign_checkpoint

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["since PyTorch 1.6", "before"])
# Name of a module whose objects are pickled, but which is not installed when the file is read.
FOREIGN = "mmengine_stand_in"


class HistoryBuffer:
    """Reimplement mmengine's class, which contains arrays and refers to its methods by name."""

    def __init__(self):
        self.values = np.arange(3.0)
        self.scalar = np.float64(2.5)
        self.methods = {"mean": HistoryBuffer.mean}

    def mean(self):
        return self.values.mean()

    def __setstate__(self, state):
        raise AssertionError("code of the file's module has run")


@pytest.fixture
def foreign(monkeypatch):
    """Provide HistoryBuffer in a module that is missing when the file is read."""
    module = types.ModuleType(FOREIGN)
    module.HistoryBuffer = HistoryBuffer
    for item in (HistoryBuffer, HistoryBuffer.mean):
        monkeypatch.setattr(item, "__module__", FOREIGN)
    monkeypatch.setitem(sys.modules, FOREIGN, module)

    def save(path, content, zipped):
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        monkeypatch.delitem(sys.modules, FOREIGN)

    return save


@FORMATS
def test_what_a_training_of_mmengine_leaves(tmp_path, foreign, zipped):
    path = str(tmp_path / "epoch_24.pth")
    weights = {"layer.weight": torch.randn(3, 4), "layer.num_batches_tracked": torch.tensor(5)}
    content = {
        "meta": {"cfg": "model = dict()", "epoch": 24, "CLASSES": ("a", "b"), "seed": None, "log": HistoryBuffer()},
        "message_hub": {"loss": HistoryBuffer(), "lr": np.arange(4), "step": np.int64(7)},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.02}]},
        "state_dict": weights,
    }
    foreign(path, content, zipped)
    found, meta = read_foreign_checkpoint(path)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], value) for name, value in weights.items())
    assert meta == {"cfg": "model = dict()", "epoch": 24, "CLASSES": ["a", "b"], "seed": None, "log": None}


class Command:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@FORMATS
@pytest.mark.parametrize("function", [os.mkdir, eval, exec, __import__], ids=lambda function: function.__name__)
def test_code_does_not_run(tmp_path, zipped, function):
    path, target = str(tmp_path / "code.pth"), tmp_path / "ran"
    argument = str(target) if function is os.mkdir else f"__import__('os').mkdir({str(target)!r})"
    content = {"meta": {"x": Command(function, argument)}, "state_dict": {"w": torch.ones(1)}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    if function is os.mkdir:  # a function of a module that PyTorch never allows
        with pytest.raises(WeightsError, match=r"code\.pth: .*\.mkdir"):
            read_foreign_checkpoint(path)
    else:
        assert read_foreign_checkpoint(path)[0]["w"].item() == 1
    assert not target.exists()


@FORMATS
def test_objects_among_the_weights_are_no_weights(tmp_path, zipped):
    path = str(tmp_path / "x.pth")
    torch.save({"w": torch.ones(1), "x": Command(eval, "1")}, path, _use_new_zipfile_serialization=zipped)
    assert list(read_foreign_checkpoint(path)[0]) == ["w"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected .*, found a list"),
        ({"state_dict": {}}, ".*state_dict"),
        ({"state_dict": {"w": 1}}, ".*state_dict"),
    ],
    ids=str,
)
def test_other_content(tmp_path, content, message):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=rf"x\.pth: {message}"):
        read_foreign_checkpoint(str(tmp_path / "x.pth"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (0, torch.ones(3)),
        ("w", torch.ones(3, device="meta")),
        ("w", torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
        ("w", torch.eye(3).to_sparse()),
        ("w", torch.ones(3, dtype=torch.complex64)),
        ("w", torch.ones(3, dtype=torch.bool)),
        ("w", torch.ones(1).expand(10**14)),
    ],
    ids=["number as name", "meta", "nested", "sparse", "complex", "boolean", "terabytes"],
)
def test_weights_that_are_not_numbers(tmp_path, name, value):
    torch.save({"state_dict": {"good": torch.ones(3).to(torch.float8_e5m2), name: value}}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=rf"x\.pth: .*\b{name}\b"):
        read_foreign_checkpoint(str(tmp_path / "x.pth"))


def test_other_files(tmp_path):
    torch.save({"w": torch.ones(1000)}, tmp_path / "good.pth")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "good.pth").read_bytes()[:3000])
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("torn", "text", "empty"):
        with pytest.raises(WeightsError, match=rf"{name}\.pth: "):
            read_foreign_checkpoint(str(tmp_path / f"{name}.pth"))
    with pytest.raises(WeightsError, match=r"none\.pth: "):
        read_foreign_checkpoint(str(tmp_path / "none.pth"))


def test_a_compressed_archive(tmp_path):
    """Test a compressed archive, whose zeros would fill the memory when they are unpacked."""
    torch.save({"state_dict": {"w": torch.zeros(100_000)}}, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as old, zipfile.ZipFile(tmp_path / "bomb.pth", "w", 8) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert list(read_foreign_checkpoint(str(tmp_path / "good.pth"))[0]) == ["w"]
    with pytest.raises(WeightsError, match=r"bomb\.pth: .*compressed"):
        read_foreign_checkpoint(str(tmp_path / "bomb.pth"))


@FORMATS
@pytest.mark.parametrize("count", [99, 101])
def test_the_number_of_unknown_classes_is_limited(tmp_path, foreign, zipped, count):
    """Test the limit on the number of unknown classes, because the file is read again for each unknown class."""
    module = sys.modules[FOREIGN]
    for index in range(count):
        name = f"Class{index}"
        setattr(module, name, type(name, (), {"__module__": FOREIGN}))
    content = {"w": torch.ones(1), "x": [getattr(module, f"Class{index}")() for index in range(count)]}
    path = str(tmp_path / "x.pth")
    foreign(path, content, zipped)
    if count < 100:
        assert list(read_foreign_checkpoint(path)[0]) == ["w"]
    else:
        with pytest.raises(WeightsError, match=r"x\.pth: .*mmengine_stand_in\.Class"):
            read_foreign_checkpoint(path)
