"""Test thousands of mutated files of every format: a result, or an error of this project in one line.

A separate process reads the files, because some readers are compiled and could crash. See ``mutation.harness``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.robustness.corpus import CANARY


def run(tmp_path: Path, count: int) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.robustness.mutation.harness", str(folder), str(count)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tried = json.loads(done.stdout)
    faults = {name: one["faults"][:3] for name, one in tried.items() if one["faults"]}
    assert not faults, json.dumps(faults, indent=1)[:5000]
    assert sum(one["inputs"] for one in tried.values()) > 15 * count
    refused = {name for name, one in tried.items() if one["refused"] > one["inputs"] / 5}
    assert tried.keys() - refused <= {"compiled", "metrics"}  # created again, and skipped lines
    assert os.listdir(tmp_path) == ["inside"]
    assert not Path(CANARY).exists()


def test_a_sample(tmp_path):
    run(tmp_path, 25)


@pytest.mark.slow
def test_thousands(tmp_path):
    run(tmp_path, 600)
