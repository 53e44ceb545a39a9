"""Training and evaluation of LazyConfigs: what ``lazyconfig_train_net.py`` runs, in Detectron2's manner.

A LazyConfig has ``model``, ``optimizer``, ``lr_multiplier``, ``dataloader.train``, ``.test`` and ``.evaluator``, and
``train`` with the keys of Detectron2's ``configs/common/train.py``. It may have ``train.seed`` and, in minutes,
``train.collective_timeout``.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.config import CfgNode, LazyConfig, instantiate
from detectron2.engine import AMPTrainer, SimpleTrainer, default_setup, default_writers, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from seesaw_d2.compat import load_lazy
from seesaw_d2.engine.checkpointing import SeesawCheckpointer, check_weights_file
from seesaw_d2.engine.checks import check_solver, resolve_device
from seesaw_d2.engine.config import load_config
from seesaw_d2.engine.launcher import Job, argument_parser, continue_own_run, launch_job
from seesaw_d2.engine.output_folder import check_output_folder, take_folder
from seesaw_d2.engine.processes import Group
from seesaw_d2.engine.run_lock import RunLock
from seesaw_d2.engine.world import World
from seesaw_d2.errors import ConfigError, SeesawError, WeightsError
from seesaw_d2.evaluation.results import write_json
from seesaw_d2.utils.distributed import distributed

# The checks are those of YAML configs; their messages get the names that LazyConfigs have.
_NAMES = {
    "MODEL.DEVICE cpu": "train.device=cpu",
    "OUTPUT_DIR path": "train.output_dir=path",
    "MODEL.WEIGHTS path": "train.init_checkpoint=path",
    "MODEL.DEVICE": "train.device",
    "MODEL.WEIGHTS": "train.init_checkpoint",
    "OUTPUT_DIR": "train.output_dir",
    "SOLVER.AMP.ENABLED": "train.amp.enabled",
    "SOLVER.COLLECTIVE_TIMEOUT": "train.collective_timeout",
    "SOLVER.IMS_PER_BATCH": "dataloader.train.total_batch_size",
    "SOLVER.MAX_ITER": "train.max_iter",
}


class LazyCheckpointer(SeesawCheckpointer):
    """Also takes Detectron2's ``PATH?matching_heuristics=True``: names in the file are ends of the model's."""

    def load(self, path, checkpointables=None):
        path, _, option = path.partition("?")
        if option not in ("", "matching_heuristics=True"):
            raise WeightsError(
                f"train.init_checkpoint: expected PATH or PATH?matching_heuristics=True, found ?{option}"
            )
        self._heuristics = bool(option)
        return super().load(path, checkpointables)

    def _load_file(self, filename):
        loaded = super()._load_file(filename)
        return {**loaded, "matching_heuristics": True} if self._heuristics else loaded


def main(arguments=None) -> int:
    """As ``launcher.main``, with a LazyConfig: the same arguments, overrides as ``key=value``, the same exit status."""
    return launch_job(argument_parser().parse_args(arguments), prepare)


def prepare(args, world: World) -> Job:
    """Load the config and check what a look at it shows. Each process loads it again: lambdas cannot be sent."""
    cfg = load_lazy_config(args.config_file, args.opts)
    job = _settings(cfg)
    with _lazy_names():
        resolve_device(job, world)
        check_solver(job, world.size)
        continue_own_run(args, world, job.OUTPUT_DIR)
        if world.rank == 0:
            _check_files(job, args)
    return run, Group(job.MODEL.DEVICE, job.SOLVER.COLLECTIVE_TIMEOUT, job.OUTPUT_DIR), (args,)


def load_lazy_config(path: str, overrides=()) -> Any:
    """A LazyConfig with overrides such as ``train.max_iter=10``.

    Raises:
        ConfigError: the file is missing, is no LazyConfig, lacks a part; an override does not apply.
    """
    if not os.path.isfile(path) or not path.endswith(".py"):
        raise ConfigError(f"--config-file: expected a LazyConfig, a .py file, found {path or 'none'}")
    try:
        cfg = load_lazy(path)
    except SeesawError:
        raise
    except Exception as error:  # the config is a program
        raise ConfigError(f"{path}: cannot be run: {type(error).__name__}: {error}") from error
    parts = ("model", "dataloader", "optimizer", "lr_multiplier", "train")
    missing = [part for part in parts if part not in cfg]
    if missing:
        raise ConfigError(f"{path}: expected {', '.join(parts)}, found no {', '.join(missing)}")
    try:
        return LazyConfig.apply_overrides(cfg, list(overrides))
    except Exception as error:  # whatever hydra's parser raises
        raise ConfigError(f"overrides: expected key=value of the config's keys, found {overrides}: {error}") from error


def run(args) -> None:
    """One process's part of the job."""
    cfg = load_lazy_config(args.config_file, args.opts)
    model = instantiate(cfg.model)
    model.to(cfg.train.device)
    if args.eval_only:
        for name in ("fvcore", "detectron2", "seesaw_d2"):
            setup_logger(distributed_rank=comm.get_rank(), name=name)
        checkpointer = LazyCheckpointer(model, cfg.train.output_dir, strict=True)
        checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=args.resume)
        evaluate(cfg, model)
        return
    lock = RunLock(cfg.train.output_dir)
    try:
        if comm.is_main_process():
            with _lazy_names():
                take_folder(lock, resume=args.resume, overwrite=args.overwrite, weights=cfg.train.init_checkpoint)
        args.resume = comm.all_gather(args.resume)[0]  # once the folder is this job's: the others begin to write there
        default_setup(cfg, args)
        setup_logger(cfg.train.output_dir, distributed_rank=comm.get_rank(), name="seesaw_d2")
        train(cfg, model, resume=args.resume)
    finally:
        lock.release()


def evaluate(cfg: Any, model) -> dict | None:
    """Evaluate on ``dataloader.test``, and write the metrics as ``results.json`` where the evaluator writes."""
    if "evaluator" not in cfg.dataloader:
        return None
    results = inference_on_dataset(model, instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator))
    if comm.is_main_process():
        print_csv_format(results)
        folder = cfg.dataloader.evaluator.get("output_dir") or os.path.join(cfg.train.output_dir, "inference")
        write_json(os.path.join(folder, "results.json"), results)
    return results


def train(cfg: Any, model, *, resume: bool) -> None:
    """The loop of Detectron2's ``tools/lazyconfig_train_net.py``, on CPUs too, with this project's checkpointer."""
    logging.getLogger(__name__).info(f"Model:\n{model}")
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    loader = instantiate(cfg.dataloader.train)
    model = distributed(model)
    trainer = (AMPTrainer if cfg.train.amp.enabled else SimpleTrainer)(model, loader, optimizer)
    checkpointer = LazyCheckpointer(model, cfg.train.output_dir, trainer=trainer)
    is_main = comm.is_main_process()
    every = [
        hooks.IterationTimer(),
        hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
        hooks.PeriodicCheckpointer(checkpointer, **cfg.train.checkpointer) if is_main else None,
        hooks.EvalHook(cfg.train.eval_period, lambda: evaluate(cfg, model)),
    ]
    if is_main:
        writers = default_writers(cfg.train.output_dir, cfg.train.max_iter)
        every.append(hooks.PeriodicWriter(writers, period=cfg.train.log_period))
    trainer.register_hooks(every)
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=resume)
    start = trainer.iter + 1 if resume and checkpointer.has_checkpoint() else 0
    trainer.train(start, cfg.train.max_iter)


def _settings(cfg: Any) -> CfgNode:
    """What the checks of YAML configs read, from a LazyConfig."""
    job = load_config()
    train = cfg.train
    job.MODEL.DEVICE, job.MODEL.WEIGHTS, job.OUTPUT_DIR = train.device, train.init_checkpoint, train.output_dir
    job.SOLVER.AMP.ENABLED, job.SOLVER.MAX_ITER = train.amp.enabled, train.max_iter
    job.SOLVER.COLLECTIVE_TIMEOUT = train.get("collective_timeout", job.SOLVER.COLLECTIVE_TIMEOUT)
    if "total_batch_size" in cfg.dataloader.train:
        job.SOLVER.IMS_PER_BATCH = cfg.dataloader.train.total_batch_size
    return job


def _check_files(job: CfgNode, args) -> None:
    resume = args.resume or args.eval_only
    overwrite = args.overwrite and not args.eval_only
    check_output_folder(job.OUTPUT_DIR, resume=resume, overwrite=overwrite, weights=job.MODEL.WEIGHTS)
    continues = args.resume and os.path.isfile(os.path.join(job.OUTPUT_DIR, "last_checkpoint"))
    if args.eval_only and not (job.MODEL.WEIGHTS or continues):
        raise ConfigError(
            "MODEL.WEIGHTS: --eval-only needs the weights to evaluate, found none; add MODEL.WEIGHTS path"
        )
    if job.MODEL.WEIGHTS and not continues:
        check_weights_file(job.MODEL.WEIGHTS.partition("?")[0])


@contextmanager
def _lazy_names() -> Iterator[None]:
    try:
        yield
    except SeesawError as error:
        text = str(error)
        for name, ours in _NAMES.items():
            text = text.replace(name, ours)
        raise type(error)(text) from error
