"""Check the requirements of tools/gpu.py, and describe the GPU, the versions and the commit."""

import importlib
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from command_line import literals

# Modules that the package, its tests and its benchmarks import. setup.py lists the packages that contain these modules.
MODULES = [*literals("missing_packages.py")["REQUIRED"], "sklearn", "pytest"]
MIN_TORCH = (2, 6)


def paths(root: Path) -> list[str]:
    """Return the folders from which the program imports modules: the project and, if it exists, ``carried``."""
    return [str(folder) for folder in (root, root / "carried") if folder.is_dir()]


def missing() -> str | None:
    """Describe the first requirement that this machine does not meet, or return None if all requirements are met."""
    absent = [name for name in MODULES if find_spec(name) is None]
    if absent:
        return f"the Python modules {', '.join(MODULES)}, but {sys.executable} does not find {', '.join(absent)}"
    torch = importlib.import_module("torch")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < MIN_TORCH:
        return f"PyTorch {'.'.join(map(str, MIN_TORCH))} or newer, but this is PyTorch {torch.__version__}"
    if not torch.cuda.is_available():
        return f"an NVIDIA GPU, but PyTorch {torch.__version__} finds no GPU"
    return None


def key(root: Path) -> str:
    """Return a text that identifies GPU, versions and commit. Stored results are valid only for the same text."""
    return " · ".join(description(root))


def description(root: Path) -> list[str]:
    """Return a list of texts that describe the GPU, the versions and the commit."""
    torch = importlib.import_module("torch")
    card, count = torch.cuda.get_device_properties(0), torch.cuda.device_count()
    return [
        f"{f'{count} x ' if count > 1 else ''}{card.name}, {card.total_memory / 1e9:.0f} GB",
        f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}",
        f"torchvision {_version('torchvision')}, Detectron2 {_version('detectron2')}",
        f"Python {platform.python_version()}",
        f"commit {_commit(root)}",
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # sources that are not installed
        return str(getattr(importlib.import_module(name), "__version__", "unknown"))


def _commit(root: Path) -> str:
    """Return the short hash of the commit, or "unknown" without git. Append ", changed" after uncommitted changes."""
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + (", changed" if changed.stdout else "")
