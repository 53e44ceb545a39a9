"""The seams between versions of the libraries underneath, each with the versions that it serves."""

import builtins
import functools
import types
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import detectron2
import numpy as np
import torch.distributed as dist
from detectron2.config import LazyConfig
from detectron2.utils import comm

from seesaw_d2.errors import ConfigError


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


def loads_coco_json(load_function: Any) -> bool:
    """Whether it is that of Detectron2's ``register_coco_instances``.

    Its loader (v0.6 and main) takes any path for an image's file.
    """
    return getattr(load_function, "__module__", "") == "detectron2.data.datasets.coco"


def repeat_factor_options(cfg: Any) -> dict[str, Any]:
    """What a config says of repeat factors beside their threshold: main has DATALOADER.REPEAT_SQRT, v0.6 nothing."""
    return {"sqrt": cfg.DATALOADER.REPEAT_SQRT} if "REPEAT_SQRT" in cfg.DATALOADER else {}


def create_local_process_group(local_size: int) -> None:
    """Detectron2's group of the processes on this machine, ``local_size`` on each: main has a function for it.

    In v0.6 only its ``launch`` makes it, which this project does not use. Every process must call it.
    """
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(local_size)
        return
    for first in range(0, dist.get_world_size(), local_size):
        group = dist.new_group(range(first, first + local_size))
        if first <= dist.get_rank() < first + local_size:
            comm._LOCAL_PROCESS_GROUP = group


def lazy_config(name: str) -> Any:
    """One of Detectron2's own LazyConfigs, such as "common/models/mask_rcnn_fpn.py".

    Its installation puts them into ``model_zoo``, where ``model_zoo.get_config`` looks; a checkout that is only on the
    path has them beside the package.

    Raises:
        ConfigError: this Detectron2 has none of that name.
    """
    package = Path(detectron2.__file__).resolve().parent
    paths = [package / "model_zoo/configs" / name, package.parent / "configs" / name]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise ConfigError(f"{name}: expected among the configs of Detectron2 in {package}, found none")
    return load_lazy(str(found))


def load_lazy(path: str) -> Any:
    """``LazyConfig.load``, after which ``import`` is what it was.

    It puts a function of its own in place of Python's for a while (v0.6 and main), and where the config raises an error
    leaves it there.
    """
    original = builtins.__import__
    try:
        return LazyConfig.load(path)
    finally:
        builtins.__import__ = original


def vit_lr_decay_rate() -> Callable[..., float]:
    """Main's learning rates by layer of ViT, which v0.6 does not have, nor ViT.

    Raises:
        ConfigError: this is v0.6, or timm is missing, which main's ViT imports when it is built.
    """
    try:
        from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
    except ImportError:
        raise ConfigError(
            "the ViTDet configs need Detectron2's main branch, which has detectron2.modeling.ViT and "
            f"SimpleFeaturePyramid; found one without them (v0.6 or older) in {Path(detectron2.__file__).parent}"
        ) from None
    if find_spec("timm") is None:
        raise ConfigError("the ViTDet configs need the package timm, which Detectron2's ViT uses; found none")
    return get_vit_lr_decay_rate
