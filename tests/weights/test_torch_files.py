"""Test that damaged or manipulated files of ``torch.save`` are found before PyTorch reads them."""

import random
import zipfile
from pathlib import Path

import pytest
import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.train.checkpoints.resume_files import resume_file, write_pointer
from seesaw_d2.weights.checkpoint_io import read_checkpoint, write_checkpoint
from seesaw_d2.weights.safe_reading import read_weights_file
from seesaw_d2.weights.torch_files import check_torch_file

STATE = {"model": {"w": torch.arange(200.0), "b": torch.ones(3)}, "iteration": 3}


def is_refused(path: Path) -> bool:
    try:
        check_torch_file(str(path), records=True)
    except Exception:
        return True
    return False


def accepted_bits(path: Path, bits) -> list[int]:
    """Return the bits that can be flipped without an error."""
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
    assert accepted_bits(path, bits[-1200:]) == []  # the last bits contain the end of the directory, and the checksum


@pytest.mark.slow
def test_every_flipped_bit(tmp_path):
    path = tmp_path / "w.pth"
    write_checkpoint(path, STATE)
    assert accepted_bits(path, range(path.stat().st_size * 8)) == []


def test_flipped_bits_in_a_folder_of_checkpoints(tmp_path):
    """Test flipped bits in the flags, the size of a name, a size and the offset, which raise errors of other types."""
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
    """Test that flipped bits in the data are detected. PyTorch does not detect them."""
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
    assert resume_file(str(tmp_path)).path.endswith("model_0000001.pth")  # also without the checksum


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
    """Test a tensor that claims more data than its record has. PyTorch would read the memory behind the record."""
    torch.save({"model": {"w": torch.ones(500)}}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        content = archive.read("w/data.pkl")
    assert content.count(b"M\xf4\x01") == 2  # 500 is the length of the storage and of the tensor
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
