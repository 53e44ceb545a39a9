"""Test that valid files with changed bytes give an error of this project or a finite result."""

import json
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seesaw_d2.errors import SeesawError
from seesaw_d2.weights.checkpoint_io import write_safetensors
from tests.data.toy import toy_data, write_images
from tests.robustness import json_cases, weights_cases, yaml_cases
from tests.robustness.corpus import time_limit

COUNT = 150
FILES = 60  # number of files of each kind of weights
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
RELAXED = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def mutate(content: bytes, seed: int) -> bytes:
    rng, result = random.Random(seed), bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(result) + 1)
        stop = min(start + rng.choice((1, 1, 1, 8, 100)), len(result))
        new = rng.choice((b"", bytes(stop - start), rng.randbytes(stop - start), b"\xff\xff\xff\x7f", result[:20]))
        result[start:stop] = new
    return bytes(result)


def refusal(read, path: str) -> str | None:
    """Return the message of an error of this project, or None if there is a result. Raise other exceptions."""
    try:
        with time_limit():
            read(path)
    except SeesawError as error:
        return str(error)
    return None


def ends_well(read, path: str) -> None:
    message = refusal(read, path)
    assert message is None or str(Path(path).parent) in message  # the file, or an image that it names


@settings(max_examples=COUNT, **RELAXED)
@given(entries=st.sampled_from(["images", "annotations", "categories"]), field=st.text(max_size=3), value=ANYTHING)
def test_annotations_with_any_value(tmp_path, entries, field, value):
    """Test annotations with any JSON value in any field."""
    data = toy_data()
    names = sorted({name for item in data[entries] for name in item} | {"iscrowd", "coco_url", "neg_category_ids"})
    data[entries][0][names[sum(map(ord, field)) % len(names)]] = value
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(data))
    write_images(tmp_path / "images", toy_data())
    ends_well(json_cases.read, str(path))


@settings(max_examples=COUNT, **RELAXED)
@given(seed=st.integers(0, 2**32))
def test_changed_annotations(tmp_path, seed):
    write_images(tmp_path / "images", toy_data())
    path = tmp_path / "toy.json"
    path.write_bytes(mutate(json.dumps(toy_data()).encode(), seed))
    ends_well(json_cases.read, str(path))


@settings(max_examples=COUNT, **RELAXED)
@given(seed=st.integers(0, 2**32))
def test_changed_configs(tmp_path, seed):
    base = Path(__file__).parents[2] / "configs/quickstart/Base-glyphs.yaml"
    path = tmp_path / "c.yaml"
    path.write_bytes(mutate(base.read_bytes(), seed))
    message = refusal(yaml_cases.read, str(path))
    # The message has the file or, for a number that is not finite in the merged config, the key.
    assert message is None or str(path) in message or message.startswith("SOLVER.")


def test_changed_weights(tmp_path):
    """Test weights in a separate process, because the readers of PyTorch and safetensors could crash."""
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    torch.save({"model": {"weight": torch.from_numpy(weight)}}, tmp_path / "a.pth")
    torch.save({"model": {"weight": weight}}, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"model": {"weight": weight}, "__author__": "me"}))
    write_safetensors(str(tmp_path / "d.safetensors"), {"weight": torch.from_numpy(weight)}, {})
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.robustness.test_mutations", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = map(int, done.stdout.split())
    assert read + refused == 4 * FILES
    assert read > 0
    assert refused > FILES


def main(folder: str) -> None:
    counts = [0, 0]
    for name in ("a.pth", "b.pth", "c.pkl", "d.safetensors"):
        content = Path(folder, name).read_bytes()
        for seed in range(FILES):
            path = Path(folder, "changed" + Path(name).suffix)
            path.write_bytes(mutate(content, seed))
            message = refusal(weights_cases.read, str(path))
            assert message is None or path.name in message
            counts[message is not None] += 1
    print(*counts)


if __name__ == "__main__":
    main(sys.argv[1])
