"""Test that mutated checkpoints, pickles and arrays cause no hang, crash, code execution, or large memory.

A separate process reads the files, because PyTorch's reader is compiled and could crash.
"""

import os
import pickle
import random
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from seesaw_d2.data.classification.cifar import read_cifar
from seesaw_d2.data.classification.numpy_arrays import read_arrays
from seesaw_d2.errors import SeesawError
from seesaw_d2.train.checkpoints.resume_files import resume_file
from seesaw_d2.weights.checkpoint_io import write_checkpoint
from seesaw_d2.weights.converters.foreign_checkpoints import read_foreign_checkpoint
from tests.robustness import weights_cases
from tests.robustness.corpus import CANARY, time_limit, touching
from tests.robustness.test_mutations import mutate

SECONDS, MEGABYTES = 5, 200
# Pickle operations that a mutation inserts: marks, tuples, keys, calls, states, memory cells, sizes.
PIECES = [bytes([code]) for code in b"()]}t\x85\x86\x87suaeRb02Q\x81."]
PIECES += [b"q\x01", b"h\x01", b"h\x02", b"h\x01h\x01\x86q\x01", b"cposix\nsystem\n", b"c__builtin__\nset\n"]
PIECES += [b"c__builtin__\nbytearray\n", b"ccollections\nOrderedDict\n", b"ctorch\nFloatTensor\n"]
PIECES += [code + b"\xff\xff\xff\x7f" for code in (b"B", b"J", b"X", b"r")]
PIECES += [b"\x8a\xff" + b"\x7f" * 255, b"\x8e" + b"\xff" * 8]


def spliced(content: bytes, rng: random.Random) -> bytes:
    """Insert pickle operations, or repeat a part of the content."""
    result = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(result))
        piece = rng.choice([rng.choice(PIECES), rng.choice(PIECES) * rng.choice([2, 60, 5000]), bytes(result[place:])])
        result[place : place + rng.choice([0, 0, 1, 3])] = piece
    return bytes(result)


def changed(content: bytes, seed: int, path: Path) -> None:
    """Write a mutation. For archives, change the bytes, or change a record and keep the archive valid."""
    rng = random.Random(seed)
    if content[:2] == b"PK" and rng.random() < 0.6:
        path.write_bytes(content)
        with zipfile.ZipFile(path) as old:
            records = {name: old.read(name) for name in old.namelist()}
        name = rng.choice([*records, *[each for each in records if each.endswith(".pkl")] * 5])
        records[name] = rng.choice([spliced, lambda data, _: mutate(data, seed)])(records[name] or b"0", rng)
        method = rng.choice([zipfile.ZIP_STORED] * 8 + [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
        with zipfile.ZipFile(path, "w", method) as new:
            for each, data in records.items():
                new.writestr(each, data)
        return
    path.write_bytes(spliced(content, rng) if content[:2] != b"PK" and rng.random() < 0.6 else mutate(content, seed))


def write_originals(folder: Path) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    state = {
        "model": {"weight": torch.from_numpy(weight)},
        "iteration": 3,
        "optimizer": {"state": {0: {"m": torch.ones(3)}}},
    }
    write_checkpoint(folder / "a.pth", state)
    torch.save(state, folder / "b.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": {"weight": touching(folder)}}, folder / "c.pth")
    (folder / "d.pkl").write_bytes(pickle.dumps({"model": {"weight": weight}, "__author__": "me"}, 2))
    (folder / "e.pkl").write_bytes(pickle.dumps({"model": {"weight": touching(folder)}}, 4))
    np.savez_compressed(folder / "f.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1], names=["a", "b"])
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}
    (folder / "g.cifar").write_bytes(pickle.dumps(batch, 2))


def _cifar(path: str) -> object:
    folder = Path(path).parent / "cifar"
    os.replace(path, folder / "test_batch")
    return read_cifar(str(folder), "test")


def _resume(path: str) -> object:
    folder = Path(path).parent / "run"
    os.replace(path, folder / "model_0000003.pth")
    return resume_file(str(folder))


READERS = {
    ".pth": [weights_cases.read, read_foreign_checkpoint, _resume],
    ".pkl": [weights_cases.read],
    ".npz": [read_arrays],
    ".cifar": [_cifar],
}


def attempt(path: Path, reader) -> bool:
    """Return whether a file is refused."""
    begin, message = time.process_time(), ""  # CPU time, because other programs may run
    try:
        with time_limit(2 * SECONDS):
            reader(str(path))
    except SeesawError as error:
        message = str(error)
    assert time.process_time() - begin < SECONDS, "too slow"
    assert len(message) < 5000, message[:5000]
    return bool(message)


def main(folder: Path, count: int) -> None:
    originals = [folder / name for name in sorted(os.listdir(folder))]
    contents = [(path, path.read_bytes()) for path in originals]
    (folder / "cifar").mkdir()
    (folder / "run").mkdir()
    (folder / "cifar/batches.meta").write_bytes(pickle.dumps({"label_names": ["a", "b"]}, 2))
    refused = base = 0
    for seed in range(count + 30):
        original, content = contents[seed % len(contents)]
        readers = READERS[original.suffix]
        path = folder / f"changed{original.suffix}"
        changed(content, seed, path)
        try:
            refused += attempt(path, readers[seed // len(contents) % len(readers)])
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {original.name}: {type(error).__name__}") from error
        if seed == 30:
            base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024
    assert grown < MEGABYTES, grown
    known = {path.name for path in originals} | {"cifar", "run"}
    found = {name for name in os.listdir(folder) if not name.startswith("changed")}
    assert found == known, found
    print(refused)


def run(tmp_path: Path, count: int) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    write_originals(folder)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.robustness.test_mutated_weights", str(folder), str(count)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > count / 3
    assert os.listdir(tmp_path) == ["inside"]
    assert not (folder / CANARY).exists()


def test_a_sample(tmp_path):
    run(tmp_path, 150)


@pytest.mark.slow
def test_thousands(tmp_path):
    run(tmp_path, 12_000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
