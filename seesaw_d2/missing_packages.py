"""Report a missing required package in one line.

This module imports only Python's standard library. Therefore programs can load this file even if the package
``seesaw_d2`` cannot be imported.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Import names of the packages that this project requires.
REQUIRED = (
    "torch",
    "torchvision",
    "detectron2",
    "numpy",
    "PIL",
    "yaml",
    "fvcore",
    "lvis",
    "hotcoco",
    "safetensors",
    "orjson",
    "msgspec",
    "xxhash",
    "pycocotools",
    "cv2",
    "matplotlib",
)


@contextmanager
def exit_if_missing() -> Iterator[None]:
    """Print an error in one line and exit with status 2 if the block cannot import a package of ``REQUIRED``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in REQUIRED:
            raise
        print(
            f"error: {sys.executable} does not find the module {error.name}. Activate the environment that make demo "
            "or make setup created (source .venv/bin/activate), or run pip install -e . in an environment with "
            "Detectron2",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
