"""Damage and lies in files of ``torch.save`` are found before PyTorch reads them."""

import io
import pickle
import random
import time
import zipfile
from pathlib import Path

import pytest
import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.train.checkpoints.resume_files import resume_file, write_pointer
from seesaw_d2.utils import pickle_checks
from seesaw_d2.weights.checkpoint_io import read_checkpoint, write_checkpoint
from seesaw_d2.weights.file_checks import check_weights_file
from seesaw_d2.weights.safe_reading import as_checkpoint, read_weights_file
from seesaw_d2.weights.torch_files import check_torch_file
from tests.robustness.corpus import time_limit

STATE = {"model": {"w": torch.arange(200.0), "b": torch.ones(3)}, "iteration": 3}


def is_refused(path: Path) -> bool:
    try:
        check_torch_file(str(path), records=True)
    except Exception:
        return True
    return False


def accepted_bits(path: Path, bits) -> list[int]:
    """Return the bits that can be flipped without notice."""
    content, accepted = bytearray(path.read_bytes()), []
    with path.open("r+b", buffering=0) as file:
        for bit in bits:
            file.seek(bit // 8)
            file.write(bytes([content[bit // 8] ^ 1 << bit % 8]))
            if not is_refused(path):
                accepted.append(bit)
            file.seek(bit // 8)
            file.write(content[bit // 8 : bit // 8 + 1])
    return accepted


def test_a_sample_of_flipped_bits(tmp_path):
    path = tmp_path / "w.pth"
    write_checkpoint(path, STATE)
    assert not is_refused(path)
    bits = range(path.stat().st_size * 8)
    assert accepted_bits(path, random.Random(0).sample(bits, 1500)) == []
    assert accepted_bits(path, bits[-1200:]) == []  # the end of the directory, and the checksum


@pytest.mark.slow
def test_every_flipped_bit(tmp_path):
    path = tmp_path / "w.pth"
    write_checkpoint(path, STATE)
    assert accepted_bits(path, range(path.stat().st_size * 8)) == []


def test_flipped_bits_in_a_folder_of_checkpoints(tmp_path):
    """Bits that raise other errors than those of the archive: the flags, the size of a name, a size, the offset."""
    for name in ("model_0000001", "model_0000003"):
        write_checkpoint(tmp_path / f"{name}.pth", STATE)
        write_pointer(str(tmp_path), f"{name}.pth")
    path = tmp_path / "model_0000003.pth"
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    for place in (8, 9, 10, 20, 24, 28, 42, 46):
        for value in (0, 1, 0x80, 0xFF):
            changed = bytearray(content)
            changed[start + place] ^= value or 0x10
            path.write_bytes(changed)
            assert resume_file(str(tmp_path)).path.endswith("model_0000001.pth")


def test_flipped_bits_in_the_data(tmp_path):
    """PyTorch does not notice them."""
    for name in ("model_0000001", "model_0000003"):
        write_checkpoint(tmp_path / f"{name}.pth", STATE)
        write_pointer(str(tmp_path), f"{name}.pth")
    path = tmp_path / "model_0000003.pth"
    content = path.read_bytes()
    changed = bytearray(content)
    changed[content.index(STATE["model"]["w"][100:103].numpy().tobytes())] ^= 4
    path.write_bytes(changed)
    assert torch.load(path, weights_only=True)["model"]["w"][100] != 100
    with pytest.raises(WeightsError, match=r"model_0000003\.pth"):
        read_checkpoint(str(path))
    assert resume_file(str(tmp_path)).path.endswith("model_0000001.pth")
    unsealed = rewritten(path.with_name("model_0000001.pth"))
    unsealed.write_bytes(unsealed.read_bytes().replace(STATE["model"]["w"][100:103].numpy().tobytes(), bytes(12)))
    unsealed.replace(path)
    assert resume_file(str(tmp_path)).path.endswith("model_0000001.pth")  # also without this project's checksum


def test_other_programs_read_sealed_files(tmp_path):
    write_checkpoint(tmp_path / "w.pth", STATE)
    for mapped in (False, True):
        assert torch.load(tmp_path / "w.pth", weights_only=True, mmap=mapped)["model"]["w"].equal(STATE["model"]["w"])
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.testzip() is None


def test_files_without_a_seal_load(tmp_path):
    for zipped in (True, False):
        torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
        assert read_checkpoint(str(tmp_path / "w.pth"))["iteration"] == 3


def rewritten(path: Path, compression: int = zipfile.ZIP_STORED, **changes: bytes) -> Path:
    target = path.with_name("changed.pth")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, changes.get(Path(name).stem, old.read(name)))
    return target


def test_a_tensor_with_less_data_than_it_claims(tmp_path):
    """PyTorch would read the memory behind the record."""
    torch.save({"model": {"w": torch.ones(500)}}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        content = archive.read("w/data.pkl")
    assert content.count(b"M\xf4\x01") == 2  # 500, the length of the storage and of the tensor
    path = rewritten(tmp_path / "w.pth", data=content.replace(b"M\xf4\x01", b"M\xff\xff"))
    with pytest.raises(WeightsError, match=r"changed\.pth.*262140 bytes .*found 2000"):
        read_weights_file(str(path))


def test_a_tensor_without_data_before_1_6(tmp_path):
    torch.save({"model": {"w": torch.ones(500)}}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(content.replace(b"M\xf4\x01", b"M\xff\xff"))
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_weights_file(str(tmp_path / "w.pth"))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("ignore_unknown", [False, True])
def test_nothing_is_unpacked(tmp_path, method, ignore_unknown, monkeypatch):
    torch.save({"model": {"w": torch.zeros(1_000_000)}}, tmp_path / "w.pth")
    path = rewritten(tmp_path / "w.pth", method)
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_: pytest.fail("was unpacked"))
    with pytest.raises(WeightsError, match=r"changed\.pth.*compressed"):
        read_weights_file(str(path), ignore_unknown=ignore_unknown)
    path.rename(tmp_path / "model_0000003.pth")
    write_pointer(str(tmp_path), "model_0000003.pth")
    with pytest.raises(WeightsError, match="compressed"):
        resume_file(str(tmp_path))


DEEP = b"NN\x86" + b"q\x01h\x01\x86" * 60  # (None, None), and 60 times a pair of the value before
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
    """The format before PyTorch 1.6: a magic number, a version, notes on the system, the content, an empty list."""
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
    if suffix == "w.pkl":  # before anything is hashed or allocated
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
    """Python's ``is_zipfile`` raises an error for it."""
    write_checkpoint(tmp_path / "w.pth", STATE)
    content = bytearray((tmp_path / "w.pth").read_bytes())
    content[content.rindex(b"PK\x06\x07") + 16] = 9
    (tmp_path / "w.pth").write_bytes(content)
    check_weights_file(str(tmp_path / "w.pth"))  # leaves it to the reader
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_weights_file(str(tmp_path / "w.pth"))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "w.pth").symlink_to("/proc/self/mem")  # opens, and fails when it is read
    if not (tmp_path / "w.pth").exists():
        pytest.skip("needs /proc")
    with pytest.raises(WeightsError, match=r"w\.pth"):
        check_weights_file(str(tmp_path / "w.pth"))
