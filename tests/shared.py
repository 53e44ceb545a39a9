"""Locate real data beside the repository. Tests that need missing data are skipped."""

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2] / "shared"


def shared_path(relative: str) -> Path:
    """Return the path of a file or folder in ``shared`` beside the repository. Skip the test if it does not exist."""
    path = _ROOT / relative
    if not path.exists():
        pytest.skip(f"needs {path}, which is not here")
    return path
