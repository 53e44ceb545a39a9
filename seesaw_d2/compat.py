"""Functions that work with several versions of Detectron2, lvis, NumPy and PyTorch.

The docstrings name the versions that differ. "main" is Detectron2's main branch.
"""

import builtins
import datetime
import functools
import types
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import detectron2
import numpy as np
import torch
import torch.distributed as dist
from detectron2.config import LazyConfig
from detectron2.utils import comm

from seesaw_d2.errors import ConfigError


class _NumpyWithFloat(types.ModuleType):
    """Module with all attributes of numpy, and ``float``, which NumPy 1.24 removed but lvis-api still uses."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@functools.cache
def lvis_eval_class() -> type:
    """Return ``lvis.LVISEval``, patched to work with NumPy >= 1.24.

    lvis 0.5.3, the newest release, uses ``np.float``, which NumPy 1.24 removed. The patch replaces the name ``np`` in
    ``lvis.eval`` and does not change numpy itself.
    """
    import lvis.eval

    if not hasattr(np, "float") and not hasattr(lvis.eval.np, "float"):
        lvis.eval.np = _NumpyWithFloat("numpy")
    return lvis.eval.LVISEval


def loads_lvis_json(load_function: Any) -> bool:
    """Return whether a function in DatasetCatalog comes from Detectron2's ``register_lvis_instances``.

    This project replaces these functions by its own reader. In Detectron2 v0.6 and main, these functions raise
    AssertionError for an invalid polygon, KeyError for missing annotations, and ValueError for a dataset that is not
    LVIS.

    Args:
        load_function: function in DatasetCatalog that returns the dataset dicts of a dataset.
    """
    return getattr(load_function, "__module__", "") == "detectron2.data.datasets.lvis"


def loads_coco_json(load_function: Any) -> bool:
    """Return whether a function in DatasetCatalog comes from Detectron2's ``register_coco_instances``.

    In Detectron2 v0.6 and main, these functions do not check that the images are inside the image folder. Therefore,
    this project checks the image paths that these functions return.

    Args:
        load_function: function in DatasetCatalog that returns the dataset dicts of a dataset.
    """
    return getattr(load_function, "__module__", "") == "detectron2.data.datasets.coco"


def repeat_factor_options(cfg: Any) -> dict[str, Any]:
    """Return the keyword arguments ``frequency`` and ``sqrt`` for repeat factor sampling.

    ``frequency`` is the value of DATALOADER.REPEAT_FREQUENCY, and ``sqrt`` is the value of DATALOADER.REPEAT_SQRT.
    Detectron2 v0.6 does not have REPEAT_SQRT. In this case, the result has no ``sqrt``.
    """
    sqrt = {"sqrt": cfg.DATALOADER.REPEAT_SQRT} if "REPEAT_SQRT" in cfg.DATALOADER else {}
    return {"frequency": cfg.DATALOADER.REPEAT_FREQUENCY, **sqrt}


def create_local_process_group(local_size: int) -> None:
    """Create Detectron2's local process group, which contains the processes on this machine.

    This is a collective operation: every process must call this function. Detectron2's main branch has a function of
    the same name. Detectron2 v0.6 creates the group only in ``launch``, which this project does not call.

    Args:
        local_size: number of processes on each machine.
    """
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(local_size)
        return
    for first in range(0, dist.get_world_size(), local_size):
        group = dist.new_group(range(first, first + local_size))
        if first <= dist.get_rank() < first + local_size:
            comm._LOCAL_PROCESS_GROUP = group


def set_object_group(timeout: datetime.timedelta) -> None:
    """Create the gloo process group in which Detectron2 gathers Python objects, with the given timeout.

    Without this call, Detectron2 (v0.6 and main) creates the group at its first use, with PyTorch's default timeout of
    30 minutes. If the default group already uses gloo, this function creates no group, and Detectron2 gathers objects
    in the default group.

    This is a collective operation: every process must call this function.
    """
    group = dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo", timeout=timeout)
    comm._get_global_gloo_group = lambda: group


def has_fast_bfloat16() -> bool:
    """Return whether oneDNN computes bfloat16 convolutions on this CPU without slow emulation.

    The answer comes from a private function of PyTorch. If a version of PyTorch lacks this function, the result is
    True.
    """
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return True


def lazy_config(name: str) -> Any:
    """Load a LazyConfig of Detectron2, such as "common/models/mask_rcnn_fpn.py".

    The configs of an installed Detectron2 are in ``detectron2/model_zoo/configs``. The configs of a source tree are in
    the folder ``configs`` next to the package.

    Raises:
        ConfigError: Detectron2 has no config with this name.
    """
    package = Path(detectron2.__file__).resolve().parent
    paths = [package / "model_zoo/configs" / name, package.parent / "configs" / name]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ConfigError(f"{name}: Detectron2 in {package} has no config with this name")
    return load_lazy(str(found))


def load_lazy(path: str) -> Any:
    """Load a LazyConfig file with ``LazyConfig.load``, and restore Python's ``__import__`` afterwards.

    ``LazyConfig.load`` (v0.6 and main) replaces ``__import__`` while it loads the file. If the config raises an error,
    Detectron2 does not restore the original function.
    """
    original = builtins.__import__
    try:
        return LazyConfig.load(path)
    finally:
        builtins.__import__ = original


def vit_lr_decay_rate() -> Callable[..., float]:
    """Return ``get_vit_lr_decay_rate``, Detectron2's function for the layer-wise learning rates of a ViT.

    Only Detectron2's main branch has a ViT.

    Raises:
        ConfigError: Detectron2 is v0.6, or timm is not installed, which ViT requires.
    """
    try:
        from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
    except ImportError:
        raise ConfigError(
            "ViTDet: expected Detectron2's main branch, found v0.6 or older in "
            f"{Path(detectron2.__file__).parent}. Only the main branch has detectron2.modeling.ViT."
        ) from None
    if find_spec("timm") is None:
        raise ConfigError(
            "ViTDet: Detectron2's ViT requires the package timm, which is not installed. Run: pip install timm"
        )
    return get_vit_lr_decay_rate


def best_scores(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ``count`` largest scores of each image and their indices, in the same order as Detectron2's RPN.

    The RPN of Detectron2 v0.6 sorts the scores. The RPN of the main branch calls ``topk``, which orders equal scores
    differently.

    Args:
        scores: (B, R), R scores for each of B images.
        count: number of scores to return for each image, at most R.

    Returns:
        the scores and the int64 indices, each (B, count).
    """
    if hasattr(comm, "create_local_process_group"):  # true for Detectron2's main branch, whose RPN uses topk
        return scores.topk(count, dim=1)
    found, index = scores.sort(descending=True, dim=1)
    return found[:, :count], index[:, :count]
