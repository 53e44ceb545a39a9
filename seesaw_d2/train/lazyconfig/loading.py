"""Reading a LazyConfig, and what can be wrong with it."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from omegaconf import OmegaConf

from seesaw_d2.compat import load_lazy
from seesaw_d2.config.files import find_config_file
from seesaw_d2.config.loading import load_config
from seesaw_d2.data.records.catalog import categories_of, check_annotation_file
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.train.acceleration import check_acceleration
from seesaw_d2.train.checkpoints.checkpointer import check_weights_file
from seesaw_d2.train.checkpoints.resume_files import resume_file
from seesaw_d2.train.command_line import continue_own_run
from seesaw_d2.train.launch.process_layout import World
from seesaw_d2.train.lazyconfig.overrides import apply_overrides
from seesaw_d2.train.preflight.job_checks import check_solver, resolve_device
from seesaw_d2.train.preflight.output_folder import check_output_folder
from seesaw_d2.utils.category_names import Categories, check_checkpoint, check_order, entry_of
from seesaw_d2.utils.messages import warn_once
from seesaw_d2.weights.reading import read_weights_file

logger = logging.getLogger(__name__)

_PARTS = ("model", "dataloader.train", "optimizer", "lr_multiplier", "train")
# Those of Detectron2's configs/common/train.py that are read here without a default.
_TRAIN = ("output_dir", "init_checkpoint", "max_iter", "amp.enabled", "checkpointer.period", "eval_period")
_TRAIN += ("log_period", "device")
# Detectron2's options that this project has nothing for, off in its own configs.
_OFF = ("ddp.broadcast_buffers", "ddp.find_unused_parameters", "ddp.fp16_compression", "model_ema.enabled")
# Read where they are given.
_OPTIONAL = ("seed", "max_skipped_steps", "amp.dtype", "collective_timeout", "checkpointer.max_to_keep")
# The checks are those of YAML configs; their messages, and those of what they check, get the names of LazyConfigs.
_NAMES = {
    "MODEL.DEVICE cpu": "train.device=cpu",
    "OUTPUT_DIR path": "train.output_dir=path",
    "MODEL.WEIGHTS path": "train.init_checkpoint=path",
    "with SOLVER.CLIP_GRADIENTS, ": "",
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
    """A LazyConfig with overrides such as ``train.max_iter=10``.

    Args:
        path: of a .py file, or else the name of one of ``seesaw_d2.model_zoo``.
        overrides: KEY=VALUE; +KEY=VALUE adds a key that is not there.

    Raises:
        ConfigError: the file is missing, is no LazyConfig, lacks a part; an override does not apply; a key asks for
            something that is not done here.
    """
    if path.endswith(".py"):
        path = find_config_file(path)
    if not os.path.isfile(path) or not path.endswith(".py"):
        raise ConfigError(f"--config-file: expected a LazyConfig, a .py file, found {path or 'none'}")
    try:
        cfg = load_lazy(path)
    except SeesawError:
        raise
    except Exception as error:  # the config is a program
        raise ConfigError(f"{path}: cannot be run: {type(error).__name__}: {error}") from error
    _check_keys(cfg, path, _PARTS)
    cfg = apply_overrides(cfg, overrides, [f"train.{key}" for key in (*_TRAIN, *_OPTIONAL, *_OFF)], _NAMES)
    _check_keys(cfg, path, [f"train.{key}" for key in _TRAIN])
    for key in _OFF:
        if _selected(cfg.train, key):
            raise ConfigError(f"train.{key}: expected False, as this project has nothing for it, found True")
    return cfg


def _check_keys(cfg: Any, path: str, keys: Sequence[str]) -> None:
    missing = [key for key in keys if _selected(cfg, key) is None]
    if missing:
        raise ConfigError(f"{path}: expected {', '.join(keys)}, found no {', '.join(missing)}")


def _selected(cfg: Any, key: str) -> Any:
    for part in key.split("."):
        cfg = cfg.get(part) if hasattr(cfg, "get") else None
    return cfg


def check_lazy_job(cfg: Any, args: Any, world: World) -> CfgNode:
    """Check what a look at a LazyConfig and its files shows; ``args`` are told to resume this job's own run.

    Returns:
        the part of it that YAML configs have too, under their names.

    Raises:
        ConfigError, WeightsError: the first thing that is wrong, by its key or file.
    """
    job = _settings(cfg)
    check_acceleration(job)
    resolve_device(job, world)
    check_solver(job, world.size)
    continue_own_run(args, world, job.OUTPUT_DIR)
    if world.rank == 0:
        _check_files(job, args)
        _check_data(cfg, args.eval_only)
        _check_order(cfg, job, args)
    return job


def _settings(cfg: Any) -> CfgNode:
    job, train = load_config(), cfg.train
    job.MODEL.DEVICE, job.MODEL.WEIGHTS, job.OUTPUT_DIR = train.device, train.init_checkpoint, train.output_dir
    job.SOLVER.AMP.ENABLED, job.SOLVER.AMP.DTYPE, job.SOLVER.MAX_ITER = train.amp.enabled, amp_of(cfg), train.max_iter
    job.SOLVER.COLLECTIVE_TIMEOUT = train.get("collective_timeout", job.SOLVER.COLLECTIVE_TIMEOUT)
    job.SOLVER.MAX_SKIPPED_STEPS = train.get("max_skipped_steps", 0)
    job.SOLVER.CHECKPOINT_PERIOD = train.checkpointer.period
    job.SOLVER.CHECKPOINT_KEEP = train.checkpointer.get("max_to_keep") or 0
    if "total_batch_size" in cfg.dataloader.train:
        job.SOLVER.IMS_PER_BATCH = cfg.dataloader.train.total_batch_size
    return job


def lazy_values(cfg: Any) -> dict[str, str]:
    """Return every key of a LazyConfig in full with its value as text, which is the same in every process."""
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
    """What ``train.amp`` computes in, where it is enabled: Detectron2's configs do not say."""
    return cfg.train.amp.get("dtype", "float16")


def _check_files(job: CfgNode, args: Any) -> None:
    resume = args.resume or args.eval_only
    overwrite = args.overwrite and not args.eval_only
    check_output_folder(job.OUTPUT_DIR, resume=resume, overwrite=overwrite, weights=job.MODEL.WEIGHTS)
    continues = args.resume and resume_file(job.OUTPUT_DIR) is not None
    if args.eval_only and not (job.MODEL.WEIGHTS or continues):
        raise ConfigError(
            "MODEL.WEIGHTS: --eval-only needs the weights to evaluate, found none; add MODEL.WEIGHTS path"
        )
    if job.MODEL.WEIGHTS and not continues:
        check_weights_file(job.MODEL.WEIGHTS.partition("?")[0])


def _check_order(cfg: Any, job: CfgNode, args: Any) -> None:
    """The checkpoint has the categories of the data in their order."""
    found = resume_file(job.OUTPUT_DIR) if args.resume else None
    path = found.path if found else job.MODEL.WEIGHTS.partition("?")[0]
    if not os.path.isfile(path):
        return
    content = read_weights_file(path)
    expected = lazy_categories(cfg, "test" if args.eval_only else "train")
    if isinstance(content, dict) and (kept := entry_of(content, path)):
        check_checkpoint(kept, expected, must_fit=bool(args.eval_only or found))  # the job says what is to be warned of


def _check_data(cfg: Any, eval_only: bool) -> None:
    """The annotation files of data sets that Detectron2 and this project know; others may need none."""
    parts = ([] if eval_only else ["train"]) + ([] if cfg.dataloader.get("evaluator") is None else ["test"])
    for name in [name for part in parts for name in _dataset_names(cfg, part)]:
        if name in DatasetCatalog:
            check_annotation_file(name)
    trained, tested = (lazy_categories(cfg, part) for part in ("train", "test"))
    if trained is not None and tested is not None and (warning := check_order(trained, tested)):
        warn_once(logger, warning)


def _dataset_names(cfg: Any, part: str) -> list[str]:
    found = [_selected(cfg.dataloader, f"{part}.{key}") for key in ("names", "dataset.names", "dataset.name")]
    return [name for names in found for name in ([names] if isinstance(names, str) else names or ())]


def lazy_categories(cfg: Any, part: str) -> Categories | None:
    """The class names of ``dataloader.train`` or ``.test``; None where its data set is not registered or has none.

    Args:
        part: "train" or "test".
    """
    for name in _dataset_names(cfg, part):
        with contextlib.suppress(SeesawError):  # whatever the loader needs it for, it says itself
            if (found := categories_of(name, f"dataloader.{part}")) is not None:
                return found
    return None


@contextlib.contextmanager
def lazy_names() -> Iterator[None]:
    """Messages of errors in the block name LazyConfig's keys in place of YAML's."""
    try:
        yield
    except SeesawError as error:
        raise type(error)(in_lazy_names(str(error))) from error


def in_lazy_names(text: str) -> str:
    """A text with YAML's keys, with LazyConfig's in their place."""
    for name, ours in _NAMES.items():
        text = text.replace(name, ours)
    return text
