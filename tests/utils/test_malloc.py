"""Test that freed memory stays in the process, with glibc."""

import os
import platform
import subprocess
import sys

import pytest

from seesaw_d2.utils import malloc

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")

# Count page faults while arrays of 20 MB are created and freed. Without PyTorch, the program starts at once.
PROGRAM = """
import resource, runpy, sys
import numpy as np

kept = runpy.run_path(sys.argv[2])["keep_freed_memory"]() if sys.argv[1] == "keep" else None
for step in range(22):
    if step == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        np.ones(2_500_000)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(way: str, **environment: str) -> tuple[str, int]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PROGRAM, way, malloc.__file__]
    output = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True).stdout
    kept, faults = output.split()
    return kept, int(faults)


def test_what_is_freed_is_used_again():
    kept, faults = run("keep")
    _, plain = run("leave", MALLOC_MMAP_THRESHOLD_="100000")  # memory comes from the kernel, and is returned
    assert kept == "True"
    assert faults * 50 < plain


def test_the_environment_has_the_say():
    assert run("keep", MALLOC_TRIM_THRESHOLD_="1000000")[0] == "False"
    assert run("keep", GLIBC_TUNABLES="")[0] == "False"
