"""Report a missing required package in one line.

This module imports only Python's standard library. Therefore programs can load this file even if the package
``seesaw_d2`` cannot be imported.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Import names of the packages that this project requires. If one of them is missing, ``exit_if_missing`` prints an
# error in one line. For other missing modules, Python prints its usual traceback.
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
    """Print an error in one line and exit with status 2 if the ``with`` block cannot import a required package.

    ``REQUIRED`` lists the required packages. If another module is missing, ModuleNotFoundError is raised as usual.
    """
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
