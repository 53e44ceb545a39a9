"""Build a wheel of the package, and install the wheel into a separate folder."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ["setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "seesaw_d2", "configs"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Build a wheel from a copy of the project, because pip writes into the source folder. Nothing is downloaded."""
    if int(version("setuptools").split(".")[0]) < 71:
        pytest.skip("needs setuptools 71 or newer in this environment, which builds wheels by itself")
    source = tmp_path_factory.mktemp("source")
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(source))
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """Return the folder into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    _pip("install", "--no-deps", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture
def run_python(installed, tmp_path):
    """Return a function that runs Python in an empty folder, with the installed package instead of the checkout.

    The function returns the output. If the expected exit status is not 0, it returns the error output.
    """

    def run(*arguments, status=0):
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        paths = [path for path in paths if not (Path(path) / "seesaw_d2").is_dir()]  # e.g. Detectron2's main branch
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), *paths]), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stderr if status else done.stdout

    return run


def _pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
