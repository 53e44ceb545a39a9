"""Locate real data beside the repository. Tests that need missing data are skipped."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2] / "shared"


def shared_path(relative: str) -> Path:
    """A file or folder in the folder ``shared`` beside the repository; without it the test is skipped."""
    path = _ROOT / relative
    if not path.exists():
        pytest.skip(f"needs {path}, which is not here")
    return path
