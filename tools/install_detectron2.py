#!/usr/bin/env python
"""Install Detectron2 v0.6 into this Python environment, without a compiler.

The package index has Detectron2 v0.6 as the source archive ``pb1-detectron2==0.6``. The Python files of this archive
are identical to the official tag v0.6, except for the name in ``setup.py``. The archive lacks the C++ sources. Mask
R-CNN does not need them, because RoIAlign and NMS come from torchvision. This program downloads the archive with pip's
index settings, checks its hash, applies the substitutions of ``tools/detectron2_substitutions.py``, and installs the
result as a wheel.

If a Detectron2 is installed (v0.6 or main, compiled or not), the program does nothing.

    python tools/install_detectron2.py [--archive FILE] [--force]
"""

import argparse
import base64
import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from detectron2_substitutions import SubstitutionError, apply_substitutions

REQUIREMENT = "pb1-detectron2==0.6"
SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
PROJECTS = {
    "point_rend": "PointRend/point_rend",
    "deeplab": "DeepLab/deeplab",
    "panoptic_deeplab": "Panoptic-DeepLab/panoptic_deeplab",
}
# Detectron2's requirements, without the unused black, future and pydot, and without an upper bound on iopath.
REQUIRES = [
    "Pillow>=7.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "termcolor>=1.1",
    "yacs>=0.1.8",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "tensorboard",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.7",
    "omegaconf>=2.1",
    "hydra-core>=1.1",
    "packaging",
]
WHEEL_NAME = "detectron2-0.6-py3-none-any.whl"


class InstallError(Exception):
    """Raised if the installation fails. The message says what the user can do."""


def run(arguments, what):
    """Run a command. If it fails, raise InstallError with ``what``, a description of the command."""
    status = subprocess.call(arguments)
    if status:
        raise InstallError(f"{what} failed with exit status {status}. See pip's message above.")


def download(folder: Path) -> Path:
    """Download the source archive with unearth, a package finder that uses pip's index settings.

    ``pip download`` would run the ``setup.py`` in the archive, which imports torch.
    """
    finder = folder / "finder"
    quiet = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*quiet, "--target", str(finder), "unearth"], "installing the package finder 'unearth'")
    environment = {**os.environ, "PYTHONPATH": str(finder)}
    command = [sys.executable, "-m", "unearth", REQUIREMENT, "--no-binary", "--download", str(folder)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    archives = list(folder.glob("*.tar.gz"))
    if result.returncode or len(archives) != 1:
        raise InstallError(
            f"cannot download {REQUIREMENT} from the package index:\n{result.stderr.strip()[-2000:]}\n"
            "Check the network and pip's index settings (pip config list), or pass --archive FILE."
        )
    return archives[0]


def check_hash(archive: Path) -> None:
    """Raise InstallError unless ``archive`` has the expected SHA-256."""
    if not archive.is_file():
        raise InstallError(f"{archive}: the source archive does not exist")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise InstallError(f"{archive}: expected SHA-256 {SHA256}, found {found}. Nothing was installed.")


def collect(archive: Path, folder: Path) -> Path:
    """Unpack the archive into ``folder``. Return the folder that contains the package ``detectron2``.

    Like Detectron2's ``setup.py``, move the projects into the package.
    """
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    for name, path in PROJECTS.items():
        (source / "projects" / path).rename(source / "detectron2" / "projects" / name)
    return source


def build_wheel(source: Path, folder: Path) -> Path:
    """Write the package in ``source`` as a pure-Python wheel, and return the path of the wheel."""
    info = "detectron2-0.6.dist-info"
    metadata = ["Metadata-Version: 2.1", "Name: detectron2", "Version: 0.6", "License: Apache-2.0"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in REQUIRES]
    files = {
        str(path.relative_to(source)): path.read_bytes()
        for path in sorted((source / "detectron2").rglob("*"))
        if path.is_file()
    }
    files[f"{info}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: seesaw_d2\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/LICENSE"] = (source / "LICENSE").read_bytes()
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()
    wheel = folder / WHEEL_NAME
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel


def install(archive) -> None:
    """Apply the substitutions to the archive, and install it with pip. Download the archive if it is None."""
    with tempfile.TemporaryDirectory(prefix="detectron2-") as name:
        folder = Path(name)
        archive = Path(archive) if archive else download(folder)
        check_hash(archive)
        source = collect(archive, folder)
        apply_substitutions(source / "detectron2")
        wheel = build_wheel(source, folder)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, str(wheel)], "installing Detectron2 and its requirements")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", help="path of the source archive (default: download the archive)")
    parser.add_argument("--force", action="store_true", help="install even if a Detectron2 is installed")
    args = parser.parse_args()
    if importlib.util.find_spec("detectron2") and not args.force:
        print(f"Detectron2 is already installed: {importlib.util.find_spec('detectron2').origin}")
        return 0
    try:
        install(args.archive)
    except (InstallError, SubstitutionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("Detectron2 0.6 installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
