"""Count events of the simulated device by the file and the function in which they occur."""

import sys
from collections import Counter
from pathlib import Path

import detectron2

import seesaw_d2

_PACKAGES = {
    "seesaw_d2": Path(seesaw_d2.__file__).parent,
    "detectron2": Path(detectron2.__file__).parent,
}
# Counter of (kind, place) of the active ``PretendedCuda``.
active: Counter[tuple[str, str]] | None = None


def record(kind: str) -> None:
    """Count an event at the current place, if a ``PretendedCuda`` is active."""
    if active is not None:
        active[kind, place()] += 1


def place() -> str:
    """Return the innermost frame of seesaw_d2 or Detectron2, as package/file:function."""
    frame = sys._getframe(1)
    while frame:
        path = Path(frame.f_code.co_filename)
        for package, folder in _PACKAGES.items():
            if path.is_relative_to(folder):
                return f"{package}/{path.relative_to(folder).as_posix()}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "test"
