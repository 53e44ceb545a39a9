"""Test that converting weights to another format and back changes nothing."""

import pickle
import re

import numpy as np
import pytest
import torch
from convert_weights import main

from seesaw_d2.weights.safe_reading import read_weights_file


def test_there_and_back(tmp_path, capsys):
    weights = {"a.weight": torch.randn(3, 4), "counts": torch.arange(5), "half": torch.ones(2).bfloat16()}
    source, middle, target = (str(tmp_path / name) for name in ("a.pth", "a.safetensors", "b.pth"))
    torch.save({"model": weights, "iteration": 7, "trainer": {}}, source)
    assert main([source, middle]) == 0
    assert "3 tensors written" in capsys.readouterr().out
    assert main([middle, target]) == 0
    found = read_weights_file(target)["model"]
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in weights.items())


def test_what_is_left_behind_is_named(tmp_path, capsys):
    torch.save({"model": {"a": torch.ones(1)}, "iteration": 7, "trainer": {}}, tmp_path / "a.pth")
    assert main([str(tmp_path / "a.pth"), str(tmp_path / "a.safetensors")]) == 0
    assert ": iteration, trainer" in capsys.readouterr().out


def test_how_names_are_read_is_kept(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"conv1_w": np.ones(3, np.float32)}))
    for source, target in (("a.pkl", "a.safetensors"), ("a.safetensors", "a.pth")):
        assert main([str(tmp_path / source), str(tmp_path / target)]) == 0
        found = read_weights_file(str(tmp_path / target))
        assert (found["__author__"], found["matching_heuristics"]) == ("Caffe2", True)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a.pth", "a.pth", "a.pth: "),
        ("a.pth", "b.bin", "b.bin"),
        ("none.pth", "b.pth", "none.pth: "),
        ("none.pth", "a.pth", "none.pth: "),
        ("text.safetensors", "b.pth", "text.safetensors: cannot read"),
    ],
)
def test_wrong_turns_write_nothing(tmp_path, capsys, source, target, message):
    torch.save({"model": {"a": torch.ones(1)}}, tmp_path / "a.pth")
    (tmp_path / "text.safetensors").write_text("this is no such file, although it is long enough")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([str(tmp_path / source), str(tmp_path / target)]) == 2
    assert message in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "expected a dict of parameters, found an empty dict"),
        ({"w": torch.eye(2).to_sparse()}, "w: expected a dense tensor .*layout torch.sparse_coo"),
        ({"w": torch.ones(2, dtype=torch.complex128)}, "w: expected .* found torch.complex128"),
        ({"w": torch.ones(2, device="meta")}, "w: expected .* meta"),
        ({"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, "w: expected .* nested"),
        ({"w": torch.ones(1).expand(10**14)}, r"w: expected .* \(100000000000000,\)"),
        ({"w\udcff": torch.ones(2)}, r".* found 'w\\udcff'"),
        ({"__metadata__": torch.ones(2)}, ".* found '__metadata__'"),
    ],
)
def test_weights_that_safetensors_cannot_hold(tmp_path, capsys, weights, message):
    torch.save({"model": weights}, tmp_path / "a.pth")
    assert main([str(tmp_path / "a.pth"), str(tmp_path / "a.safetensors")]) == 2
    assert re.search(f"a.pth: {message}", capsys.readouterr().err)
    assert not (tmp_path / "a.safetensors").exists()


def test_other_content_that_safetensors_cannot_hold(tmp_path, capsys):
    torch.save({"model": {"w": torch.ones(2)}, "score_settings": {"x": torch.ones(1)}}, tmp_path / "a.pth")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"model": {0: np.ones(2)}, "__author__": "me"}, 2))
    for name, message in (("a.pth", "score_settings: "), ("b.pkl", "found 0")):
        assert main([str(tmp_path / name), str(tmp_path / "a.safetensors")]) == 2
        assert re.search(rf"{name}: .*{message}", capsys.readouterr().err)
        assert not (tmp_path / "a.safetensors").exists()
