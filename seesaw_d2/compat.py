"""The seams between versions of the libraries underneath, each with the versions that it serves."""

import functools
import types
from typing import Any

import numpy as np


class _NumpyWithFloat(types.ModuleType):
    """numpy as it is, with the alias ``float`` that NumPy 1.24 removed."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@functools.cache
def lvis_eval_class() -> type:
    """``lvis.LVISEval``, working.

    lvis 0.5.3, the newest release, uses ``np.float``, which NumPy >= 1.24 does not have: its module
    ``lvis.eval`` gets a view of numpy of its own. numpy itself is left alone.
    """
    import lvis.eval

    if not hasattr(np, "float") and not hasattr(lvis.eval.np, "float"):
        lvis.eval.np = _NumpyWithFloat("numpy")
    return lvis.eval.LVISEval


def loads_lvis_json(load_function: Any) -> bool:
    """Whether a function of Detectron2's DatasetCatalog is that of its ``register_lvis_instances``.

    Its loader (v0.6 and main) stops with an AssertionError at a bad polygon, with a KeyError without
    annotations, and at any data set name that is not LVIS's own.
    """
    return getattr(load_function, "__module__", "") == "detectron2.data.datasets.lvis"


def repeat_factor_options(cfg: Any) -> dict[str, Any]:
    """What a config says of repeat factors beside their threshold: main has DATALOADER.REPEAT_SQRT, v0.6 nothing."""
    return {"sqrt": cfg.DATALOADER.REPEAT_SQRT} if "REPEAT_SQRT" in cfg.DATALOADER else {}
