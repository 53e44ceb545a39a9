"""Test errors for weights whose pickles are deeply nested, have unhashable keys, or state sizes without data."""

import io
import pickle
import time
from pathlib import Path

import pytest
import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils import pickle_checks
from seesaw_d2.weights.checkpoint_io import write_checkpoint
from seesaw_d2.weights.file_checks import check_weights_file
from seesaw_d2.weights.safe_reading import as_checkpoint, read_weights_file
from tests.robustness.corpus import time_limit
from tests.weights.test_torch_files import STATE, rewritten

DEEP = b"NN\x86" + b"q\x01h\x01\x86" * 60  # (None, None), and 60 pairs that contain the previous value twice


HOSTILE = {
    "a key": b"}" + DEEP + b"K\x01s",
    "keys": b"}(" + DEEP + b"K\x01u",
    "a key of a mapping": b"(" + DEEP + b"K\x01d",
    "an element": b"c__builtin__\nset\n](" + DEEP + b"e\x85R",
    "a pair": b"ccollections\nOrderedDict\n](" + DEEP + b"K\x01\x86e\x85R",
    "a key of an object": b"ccollections\nOrderedDict\n)R" + DEEP + b"K\x01s",
    "a count": b"ccollections\nCounter\n](" + DEEP + b"e\x85R",
    "a state": b"ccollections\nOrderedDict\n)R](" + DEEP + b"K\x01\x86eb",
    "a type": b"cnumpy\ndtype\n(" + DEEP + b"K\x00K\x01tR",
    "a shape": b"cnumpy.core.multiarray\nscalar\n(" + DEEP + DEEP + b"tR",
    "the value": b"}X\x01\x00\x00\x00w" + DEEP + b"s",
    "a large array": b"c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R",
    "a large tensor": b"ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R",
    "a large integer": b"\x8a\xff" + b"\x7f" * 255,
    "a deep list": b"]" * 5000 + b"a" * 4999,
    "a memo index": b"Nr\xff\xff\xff\x7f",
}


PAIR = b"K\x01K\x02\x86"


for _name, _content in (
    ("a pair as key", b"}" + PAIR + b"K\x01s"),
    ("pairs as keys", b"}(" + PAIR + b"K\x01u"),
    ("a pair as key of a mapping", b"(" + PAIR + b"K\x01d"),
    ("a pair in a set", b"c__builtin__\nset\n](" + PAIR + b"e\x85R"),
    ("a pair in an empty set", b"\x8f(" + PAIR + b"\x90"),
    ("a pair in a frozen set", b"(" + PAIR + b"\x91"),
    ("a pair as key of pairs", b"ccollections\nOrderedDict\n](" + PAIR + b"K\x01\x86e\x85R"),
    ("a pair as key of an object", b"ccollections\nOrderedDict\n)R" + PAIR + b"K\x01s"),
):
    HOSTILE[_name] = _content


def pth(content: bytes, path: Path) -> None:
    torch.save({"model": {}}, path)
    rewritten(path, data=content).rename(path)


def legacy(content: bytes, path: Path) -> None:
    """Write the format before PyTorch 1.6: magic number, version, system information, content, empty list."""
    buffer = io.BytesIO()
    torch.save(0, buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    for _ in range(3):
        pickle.load(buffer)
    path.write_bytes(buffer.getvalue()[: buffer.tell()] + content + b"\x80\x02].")


FORMATS = [("w.pkl", False), ("w.pth", False), ("w.pth", True), ("legacy.pth", False), ("legacy.pth", True)]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(("suffix", "ignore_unknown"), FORMATS)
def test_keys_are_not_hashed_and_numbers_not_believed(tmp_path, name, suffix, ignore_unknown):
    content, path = b"\x80\x02" + HOSTILE[name] + b".", tmp_path / suffix
    if suffix == "w.pkl":
        path.write_bytes(content)
    else:
        (pth if suffix == "w.pth" else legacy)(content, path)
    begin = time.monotonic()
    with time_limit(5), pytest.raises(WeightsError) as caught:
        read_weights_file(str(path), ignore_unknown=ignore_unknown)
    assert time.monotonic() - begin < 2
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1500
    expected = {"a memo index": "memo", "a deep list": "101"}.get(name, "as a key" if "pair " in name else "")
    if suffix == "w.pkl":  # the error comes before anything is hashed or allocated
        assert expected in str(caught.value)


def test_operations_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_checks, "_MAX_OPERATIONS", 1000)
    for count in (400, 600):
        (tmp_path / f"{count}.pkl").write_bytes(b"\x80\x02}" + b"N0" * count + b".")
    assert read_weights_file(str(tmp_path / "400.pkl")) == {}
    with pytest.raises(WeightsError, match="1000 operations"):
        read_weights_file(str(tmp_path / "600.pkl"))


def test_a_long_name(tmp_path):
    torch.save({"model": {"n" * 10_000_000: "text"}}, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        as_checkpoint(read_weights_file(str(tmp_path / "w.pth")), "w.pth")
    assert "w.pth" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_an_archive_of_several_disks(tmp_path):
    """Test an archive on several disks, for which Python's ``is_zipfile`` raises an error."""
    write_checkpoint(tmp_path / "w.pth", STATE)
    content = bytearray((tmp_path / "w.pth").read_bytes())
    content[content.rindex(b"PK\x06\x07") + 16] = 9
    (tmp_path / "w.pth").write_bytes(content)
    check_weights_file(str(tmp_path / "w.pth"))  # the check leaves this case to the reader
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_weights_file(str(tmp_path / "w.pth"))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "w.pth").symlink_to("/proc/self/mem")  # this file can be opened, but not read
    if not (tmp_path / "w.pth").exists():
        pytest.skip("needs /proc")
    with pytest.raises(WeightsError, match=r"w\.pth"):
        check_weights_file(str(tmp_path / "w.pth"))
