#!/usr/bin/env python
"""Set up a Python environment for this project: virtual environment, PyTorch, Detectron2 and this package.

``make`` runs this program. The program skips finished steps, so that you can interrupt it and run it again. It keeps a
PyTorch (2.6 or newer, with torchvision) and a Detectron2 that the environment already has. It compiles nothing.

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
NEEDED_GB = 8  # for PyTorch with its CUDA libraries, and pip's temporary files
INPUTS = [
    "setup.py",
    "tools/bootstrap.py",
    "tools/install_detectron2.py",
    "tools/detectron2_substitutions.py",
]
# Pairs (part of pip's output, cause of the failure). The first pair that matches is used.
CAUSES = [
    ("No space left on device", "the disk is full. Free some space and run the same command again."),
    ("Temporary failure in name resolution", "the package index could not be reached. Check the network."),
    ("Failed to establish a new connection", "the package index could not be reached. Check the network."),
    ("Connection refused", "the package index could not be reached. Check the network and the proxy."),
    ("from versions: none", "the package index could not be reached, or it lacks the package."),
    ("No matching distribution", "the package index has no such version of the package for this Python."),
]


# Lines of pip's output with these prefixes are hidden. "WARNING: Location" reports a missing find-links folder.
HIDDEN = ("WARNING: Location", "Looking in ", "Collecting ", "Requirement already satisfied", "Using cached ")


class SetupError(Exception):
    """Raised if the set-up fails. The message says what the user can do."""


def run(command, what):
    """Run a command and print its output. Raise SetupError with the likely cause if the command fails."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if not line.lstrip().startswith(HIDDEN) and ".metadata" not in line:
            print("    " + line, end="", flush=True)
    if process.wait():
        output = "".join(lines)
        cause = next((text for sign, text in CAUSES if sign in output), "see the message above.")
        raise SetupError(f"{what} failed: {cause}")


def pip_install(python, what, *arguments):
    print(f"  {what} …", flush=True)
    pip = [python, "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check", "--no-input"]
    run([*pip, *arguments], what)


def has(python, code):
    """Return whether the environment's Python runs ``code`` without an error."""
    return subprocess.call([python, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def make_environment(venv: Path) -> str:
    """Create the virtual environment if it is missing or broken, and return its Python."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not has(str(python), "import pip") if python.exists() else True:
        if venv.exists() and not (venv / "pyvenv.cfg").exists():
            raise SetupError(
                f"{venv}: expected a virtual environment, found a folder without pyvenv.cfg. Set VENV= to another path."
            )
        print(f"  virtual environment {venv} …", flush=True)
        run([sys.executable, "-m", "venv", "--clear", str(venv)], "creating the virtual environment")
    check = f"import sys; sys.exit(sys.version_info < {MIN_PYTHON})"
    if not has(str(python), check):
        raise SetupError(
            f"{python}: this Python is older than {'.'.join(map(str, MIN_PYTHON))}. Set VENV= to another path."
        )
    return str(python)


def refuse_foreign_torch(python: str) -> None:
    """Raise SetupError if the environment has a PyTorch version other than ``TORCH``, which pip would replace."""
    own = TORCH[0].removeprefix("torch==")
    if has(python, f"import torch, sys; sys.exit(torch.__version__.split('+')[0] == {own!r})"):
        raise SetupError(
            f"{python}: expected PyTorch with torchvision, found PyTorch without a compatible torchvision. Install the "
            "torchvision version for this PyTorch."
        )


def check_disk(venv: Path) -> None:
    free = shutil.disk_usage(venv).free / 1e9
    if free < NEEDED_GB:
        raise SetupError(
            f"{venv}: expected at least {NEEDED_GB} GB of free disk space for PyTorch, found {free:.1f} GB"
        )


def stamp_of(venv: Path):
    """Return the path of the file that marks a finished set-up, and its content for the current sources.

    If an existing file has another content, the set-up must run again.
    """
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
    print(f"  ready. Before you use the commands of README.md: source {venv}/bin/activate", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", default=".venv", help="folder of the virtual environment (default: .venv)")
    args = parser.parse_args()
    if sys.version_info < MIN_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        needed = ".".join(map(str, MIN_PYTHON))
        print(
            f"error: expected Python {needed} or newer, found {found} in {sys.executable}. Set PYTHON= to a newer "
            "interpreter, for example: make demo PYTHON=python3.12",
            file=sys.stderr,
        )
        return 1
    try:
        set_up(Path(args.venv).absolute())
    except (SetupError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted. To continue, run the same command again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
