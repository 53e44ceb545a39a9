"""Load numbers that the reference implementations computed, from ../shared/golden."""

from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
FOLDER = SHARED / "golden"

# Tolerances from golden/README.md.
EXACT = {"rtol": 1e-10, "atol": 1e-12}
SINGLE = {"rtol": 1e-5, "atol": 1e-6}


def load(name: str, folder: str = "golden") -> dict[str, np.ndarray]:
    """Return the arrays of one file. Skip the calling test if the file is not available."""
    path = SHARED / folder / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"reference numbers not found: {path}")
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


class Call:
    """Store the arrays of one call. ``call["logits"]`` is the array ``<prefix>_logits``, or None if absent."""

    def __init__(self, arrays: dict[str, np.ndarray], prefix: str):
        self._arrays, self._prefix = arrays, prefix

    def __getitem__(self, key: str) -> np.ndarray | None:
        return self._arrays.get(f"{self._prefix}_{key}")

    def tensor(self, key: str, dtype: torch.dtype = torch.float64) -> torch.Tensor | None:
        values = self[key]
        return None if values is None else torch.from_numpy(np.asarray(values)).to(dtype)

    @property
    def avg_factor(self) -> float | None:
        value = float(self["avg_factor"])
        return None if np.isnan(value) else value


def calls(arrays: dict[str, np.ndarray], prefix: str = "") -> list[Call]:
    return [Call(arrays, f"{prefix}call{index}") for index in range(int(arrays["n_calls"]))]


def assert_matches(actual, expected, tolerance: dict[str, float]) -> None:
    """Check that values of any types agree within the tolerance."""
    actual = torch.as_tensor(actual, dtype=torch.float64).detach()
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64), **tolerance)


def names(prefix: str, folder: str = "golden2") -> list[str]:
    """Return the names of the files for all numbers of categories, or a default name if there are no files."""
    found = sorted(path.stem for path in (SHARED / folder).glob(f"{prefix}_C*.npz"))
    return found or [f"{prefix}_C6"]
