"""Load a LazyConfig, check its keys, and replace YAML keys in error messages by the corresponding LazyConfig keys."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf

from seesaw_d2.compat import load_lazy
from seesaw_d2.config_files import find_lazy_config
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.train.lazyconfig.overrides import apply_overrides

_MAX_BYTES = 1 << 20
_PARTS = ("model", "dataloader.train", "optimizer", "lr_multiplier", "train")
# Keys of the node ``train`` that a LazyConfig must have. Detectron2's configs/common/train.py defines them.
_TRAIN = ("output_dir", "init_checkpoint", "max_iter", "amp.enabled", "checkpointer.period", "eval_period")
_TRAIN += ("log_period", "device")
# Options of the node ``train`` that must be False, because this project does not support them. They are False in
# Detectron2's own configs.
_OFF = ("ddp.broadcast_buffers", "ddp.find_unused_parameters", "ddp.fp16_compression", "model_ema.enabled")
_TIMEOUTS = ("collective_timeout", "download_timeout", "download_time_limit")
_OPTIONAL = ("seed", "max_skipped_steps", "amp.dtype", *_TIMEOUTS, "checkpointer.max_to_keep")
# LazyConfigs pass through the checks of YAML configs, whose error messages contain YAML keys. This dict maps each YAML
# key or phrase in the messages to the words for LazyConfigs, such as MODEL.DEVICE cpu to train.device=cpu.
_NAMES = {
    "MODEL.DEVICE cpu": "train.device=cpu",
    "MODEL.WEIGHTS path": "train.init_checkpoint=path",
    "with SOLVER.CLIP_GRADIENTS, ": "",
    "MODEL.DOWNLOAD_TIMEOUT": "train.download_timeout",
    "MODEL.DOWNLOAD_TIME_LIMIT": "train.download_time_limit",
    "MODEL.DEVICE": "train.device",
    "MODEL.WEIGHTS": "train.init_checkpoint",
    "OUTPUT_DIR": "train.output_dir",
    "SOLVER.AMP.DTYPE bfloat16": "train.amp.dtype=bfloat16",
    "SOLVER.AMP.DTYPE": "train.amp.dtype",
    "SOLVER.AMP.ENABLED": "train.amp.enabled",
    "SOLVER.BASE_LR": "optimizer.lr",
    "SOLVER.CHECKPOINT_KEEP": "train.checkpointer.max_to_keep",
    "SOLVER.CHECKPOINT_PERIOD": "train.checkpointer.period",
    "SOLVER.COLLECTIVE_TIMEOUT": "train.collective_timeout",
    "SOLVER.IMS_PER_BATCH": "dataloader.train.total_batch_size",
    "SOLVER.MAX_ITER": "train.max_iter",
    "SOLVER.MAX_SKIPPED_STEPS": "train.max_skipped_steps",
}


def load_lazy_config(path: str, overrides: Sequence[str] = ()) -> Any:
    """Load a LazyConfig, and apply overrides such as ``train.max_iter=10``.

    Args:
        path: path of a .py file, or the name of a LazyConfig in ``seesaw_d2.model_zoo``.
        overrides: KEY=VALUE, or +KEY=VALUE to add a key.

    Raises:
        ConfigError: the file is missing, is not a LazyConfig or lacks a key, an override is invalid, or a key enables
            an option that this project does not support.
    """
    path = find_lazy_config(path)
    if (size := os.path.getsize(path)) > _MAX_BYTES:
        raise ConfigError(f"{path}: expected a LazyConfig of at most {_MAX_BYTES} bytes, found {size} bytes")
    try:
        cfg = load_lazy(path)
    except SeesawError:
        raise
    except (Exception, SystemExit) as error:  # the config is Python code, which can raise any error
        raise ConfigError(f"{path}: running this LazyConfig raised {type(error).__name__}: {error}") from error
    _check_keys(cfg, path, _PARTS)
    cfg = apply_overrides(cfg, overrides, [f"train.{key}" for key in (*_TRAIN, *_OPTIONAL, *_OFF)], _NAMES)
    _check_keys(cfg, path, [f"train.{key}" for key in _TRAIN])
    for key in _OFF:
        if selected(cfg.train, key):
            raise ConfigError(f"train.{key}: expected False, found True. This project does not support this option.")
    return cfg


def _check_keys(cfg: Any, path: str, keys: Sequence[str]) -> None:
    missing = [key for key in keys if selected(cfg, key) is None]
    if missing:
        raise ConfigError(f"{path}: missing keys: {', '.join(missing)}. Every LazyConfig needs {', '.join(keys)}.")


def selected(cfg: Any, key: str) -> Any:
    """Return the value of a full key such as "train.max_iter", or None if the config does not have the key."""
    for part in key.split("."):
        cfg = cfg.get(part) if hasattr(cfg, "get") else None
    return cfg


def lazy_values(cfg: Any) -> dict[str, str]:
    """Return the values of a LazyConfig as text, such as {"train.max_iter": "90000"}.

    The text contains no memory addresses of objects. Therefore the processes of a job can compare their configs.
    """
    return dict(_values(OmegaConf.to_container(cfg, resolve=False) if OmegaConf.is_config(cfg) else cfg))


def _values(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _values(value, f"{prefix}.{key}" if prefix else str(key))
    elif callable(node) and hasattr(node, "__qualname__"):
        yield prefix, f"{node.__module__}.{node.__qualname__}"
    else:
        yield prefix, re.sub(r" at 0x[0-9a-f]+", "", repr(node))


def amp_of(cfg: Any) -> str:
    """Return ``train.amp.dtype``, the name of the data type of mixed precision. The default is float16."""
    return cfg.train.amp.get("dtype", "float16")


@contextlib.contextmanager
def lazy_names() -> Iterator[None]:
    """Replace YAML keys by LazyConfig keys in the messages of SeesawErrors that the ``with`` block raises."""
    try:
        yield
    except SeesawError as error:
        raise type(error)(in_lazy_names(str(error))) from error


def in_lazy_names(text: str) -> str:
    """Replace the YAML keys in a text, such as "SOLVER.MAX_ITER", by LazyConfig keys, such as "train.max_iter"."""
    for name, ours in _NAMES.items():
        text = text.replace(name, ours)
    return text
