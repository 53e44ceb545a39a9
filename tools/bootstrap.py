#!/usr/bin/env python
"""Make a Python environment in which this project runs: virtual environment, PyTorch, Detectron2, this package.

Called by ``make``. Each step is skipped where its result is already there, so that the script can be interrupted
and called again, and takes a moment when nothing is to be done. An environment with its own PyTorch (2.6 or newer,
with torchvision) or its own Detectron2 keeps them. Nothing is compiled.

    python tools/bootstrap.py --venv .venv
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIN_PYTHON = (3, 10)
TORCH = ["torch==2.14.1", "torchvision==0.29.1"]
NEEDED_GB = 8  # the registry's PyTorch with its CUDA libraries, and pip's temporary copies
INPUTS = [
    "setup.py",
    "tools/bootstrap.py",
    "tools/install_detectron2.py",
    "tools/detectron2_substitutions.py",
]
# What pip says -> what it means. The first that is found wins.
CAUSES = [
    ("No space left on device", "the disk is full: free some space and call the same command again"),
    ("Temporary failure in name resolution", "the package index could not be reached: check the network"),
    ("Failed to establish a new connection", "the package index could not be reached: check the network"),
    ("Connection refused", "the package index could not be reached: check the network or the proxy"),
    ("from versions: none", "the package index could not be reached, or does not have the package"),
    ("No matching distribution", "the package index has no such version for this Python"),
]


class SetupError(Exception):
    """What went wrong, for the person at the terminal."""


def run(command, what):
    """Run a command, showing its output as it comes; explain a failure."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if not line.startswith("WARNING: Location"):  # a find-links folder of the user's that is absent
            print("    " + line, end="", flush=True)
    if process.wait():
        output = "".join(lines)
        cause = next((text for sign, text in CAUSES if sign in output), "its own message is above")
        raise SetupError(f"{what} failed: {cause}")


def pip_install(python, what, *arguments):
    print(f"  {what} …", flush=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    run([*pip, *arguments], what)


def has(python, code):
    """Whether the environment's Python runs ``code`` without an error."""
    return subprocess.call([python, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def make_environment(venv: Path) -> str:
    """Create the virtual environment if it is absent or broken; return its Python."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not has(str(python), "import pip") if python.exists() else True:
        if venv.exists() and not (venv / "pyvenv.cfg").exists():
            raise SetupError(f"{venv}: exists and is not a virtual environment; name another one with VENV=")
        print(f"  virtual environment {venv} …", flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(venv)], "making the virtual environment")
    check = f"import sys; sys.exit(sys.version_info < {MIN_PYTHON})"
    if not has(str(python), check):
        raise SetupError(f"{python}: Python {'.'.join(map(str, MIN_PYTHON))} or newer is needed")
    return str(python)


def refuse_foreign_torch(python: str) -> None:
    """A PyTorch that somebody chose is not replaced; one left by an interrupted set-up is."""
    own = TORCH[0].removeprefix("torch==")
    if has(python, f"import torch, sys; sys.exit(torch.__version__.split('+')[0] == {own!r})"):
        raise SetupError(
            f"{python}: has PyTorch, but no torchvision that works with it, which is needed too; "
            "install the torchvision that belongs to that PyTorch"
        )


def check_disk(venv: Path) -> None:
    free = shutil.disk_usage(venv).free / 1e9
    if free < NEEDED_GB:
        raise SetupError(f"{venv}: about {NEEDED_GB} GB of free disk are needed for PyTorch, {free:.1f} GB are there")


def stamp_of(venv: Path):
    """The file that marks a finished set-up, and what it must say for this source tree."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return venv / "seesaw_d2.json", json.dumps({"root": str(ROOT), "inputs": digest.hexdigest()})


def set_up(venv: Path) -> None:
    python = make_environment(venv)
    stamp, expected = stamp_of(venv)
    if stamp.exists() and stamp.read_text() == expected:
        return
    if not has(python, "import torch, torchvision"):
        refuse_foreign_torch(python)
        check_disk(venv)
        pip_install(python, "PyTorch (about 3 GB to download)", *TORCH)
    print("  Detectron2 …", flush=True)
    run([python, "tools/install_detectron2.py"], "installing Detectron2")
    pip_install(python, "this package and its requirements", "--editable", ".[dev]")
    stamp.write_text(expected)
    print(f"  ready; for the commands of README.md: source {venv}/bin/activate", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", default=".venv", help="folder of the virtual environment (default: .venv)")
    args = parser.parse_args()
    if sys.version_info < MIN_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        needed = ".".join(map(str, MIN_PYTHON))
        print(
            f"error: Python {needed} or newer is needed, {sys.executable} is {found}; "
            "name another one with PYTHON=, as in: make demo PYTHON=python3.12",
            file=sys.stderr,
        )
        return 1
    try:
        set_up(Path(args.venv).absolute())
    except (SetupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: call the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
