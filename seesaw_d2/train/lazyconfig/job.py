"""Training and evaluation of LazyConfigs: what ``lazyconfig_train_net.py`` runs, in Detectron2's manner.

A LazyConfig has ``model``, ``optimizer``, ``lr_multiplier``, ``dataloader.train``, ``.test`` and ``.evaluator``, and
``train`` with the keys of Detectron2's ``configs/common/train.py``; of those ``train.ddp`` and main's
``train.model_ema`` have to be off. It may have ``train.seed`` (>= 0), ``train.max_skipped_steps`` (>= 0, as
SOLVER.MAX_SKIPPED_STEPS), ``train.amp.dtype`` ("float16" or "bfloat16", as SOLVER.AMP.DTYPE) and, in minutes,
``train.collective_timeout``.

Signals, checkpoints, steps that are not finite, the lock on the folder and the resume are those of ``train_net.py``:
bit for bit on a CPU, where ``dataloader.train`` is a ``TrainLoader``. With another loader the order of the images
starts anew in a resumed run, and a warning says so. What ``train_net.py`` has beside that: a rehearsal of weights and
data before anything is written, schedules in epochs, the best checkpoint, pictures and Weights & Biases.
"""

import logging
import os
from pathlib import Path
from typing import Any

from detectron2.config import instantiate
from detectron2.engine import default_writers, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from seesaw_d2.data.sampling.train_loader import TrainLoader
from seesaw_d2.errors import WeightsError
from seesaw_d2.evaluation.results_files import write_json
from seesaw_d2.train.acceleration import DTYPES, with_wide_features
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.checkpoints.hooks import CheckpointHook
from seesaw_d2.train.checkpoints.training_state import TrainingState
from seesaw_d2.train.command_line import Job, argument_parser, launch_job, shared_arguments
from seesaw_d2.train.ending import EndsEarly
from seesaw_d2.train.job import agreed
from seesaw_d2.train.launch.launcher import Group
from seesaw_d2.train.launch.process_layout import World
from seesaw_d2.train.launch.signals import STOP
from seesaw_d2.train.lazyconfig.loading import (
    amp_of,
    check_lazy_job,
    in_lazy_names,
    lazy_categories,
    lazy_names,
    lazy_values,
    load_lazy_config,
)
from seesaw_d2.train.logs import log_to_console, own_logs, set_up_run
from seesaw_d2.train.preflight.output_folder import take_folder
from seesaw_d2.train.preflight.run_lock import RunLock
from seesaw_d2.train.step import Step
from seesaw_d2.utils.distributed import broadcast, distributed

logger = logging.getLogger(__name__)

_PROGRAM = "python lazyconfig_train_net.py --config-file configs/lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py"
_EXAMPLES = f"""
Examples:

    {_PROGRAM} --num-gpus 8
    {_PROGRAM} train.max_iter=100 dataloader.train.total_batch_size=8
    {_PROGRAM} --eval-only train.init_checkpoint=output/model_final.pth
"""


class LazyTrainer(EndsEarly, Step):
    """``Step`` as a trainer with hooks."""


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


class _Described:
    """A LazyConfig as far as ``TrainingState`` asks a config; its text is what ``default_setup`` has written."""

    def __init__(self, cfg: Any):
        self.SEED, self.OUTPUT_DIR = cfg.train.get("seed", -1), cfg.train.output_dir

    def dump(self) -> str:
        path = Path(self.OUTPUT_DIR, "config.yaml")
        return path.read_text() if path.is_file() else ""


def main(arguments=None) -> int:
    """As ``launcher.main``, with a LazyConfig: the same arguments, overrides as ``key=value``, the same exit status."""
    return launch_job(argument_parser(_EXAMPLES, in_lazy_names).parse_args(arguments), prepare)


def prepare(args, world: World) -> Job:
    """Load the config and check what a look at it shows. Each process loads it again: lambdas cannot be sent."""
    cfg = load_lazy_config(args.config_file, args.opts)
    given = shared_arguments(args, world) | lazy_values(cfg)
    with lazy_names():
        job = check_lazy_job(cfg, args, world)
    return run, Group(job.MODEL.DEVICE, job.SOLVER.COLLECTIVE_TIMEOUT, job.OUTPUT_DIR, given), (args,)


def run(args) -> None:
    """One process's part of the job."""
    cfg = load_lazy_config(args.config_file, args.opts)
    lock = RunLock(cfg.train.output_dir)
    try:
        with lazy_names(), own_logs():
            seed = cfg.train.get("seed", -1)
            seed_all_rng(None if seed < 0 else seed + comm.get_rank())
            model = instantiate(cfg.model)
            model.to(cfg.train.device)
            if args.eval_only:
                log_to_console()
                checkpointer = LazyCheckpointer(
                    model, cfg.train.output_dir, strict=True, categories=lazy_categories(cfg, "test")
                )
                checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=args.resume)
                evaluate(cfg, model)
                return
            args.resume = agreed(lambda: _take_folder(cfg, args, lock))
            set_up_run(cfg, args, cfg.train.output_dir)
            train(cfg, model, resume=args.resume)
    finally:
        lock.release()


def _take_folder(cfg: Any, args, lock: RunLock) -> bool:
    if comm.is_main_process():
        weights = cfg.train.init_checkpoint.partition("?")[0]
        take_folder(lock, resume=args.resume, overwrite=args.overwrite, weights=weights)
    return args.resume


def evaluate(cfg: Any, model) -> dict | None:
    """Evaluate on ``dataloader.test``, and write the metrics as ``results.json`` where the evaluator writes."""
    if cfg.dataloader.get("evaluator") is None:
        return None
    with STOP.at_once():
        for buffer in model.buffers():  # the main process's model is the one that is saved
            broadcast(buffer)
        results = inference_on_dataset(model, instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator))
    if comm.is_main_process():
        print_csv_format(results)
        folder = cfg.dataloader.evaluator.get("output_dir") or os.path.join(cfg.train.output_dir, "inference")
        write_json(os.path.join(folder, "results.json"), results)
    return results


def train(cfg: Any, model, *, resume: bool) -> None:
    """The loop of Detectron2's ``tools/lazyconfig_train_net.py``, with ``Trainer``'s steps, checkpoints and resume."""
    logger.info(f"Model:\n{model}")
    described = _Described(cfg)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    loader = instantiate(cfg.dataloader.train)
    if not isinstance(loader, TrainLoader):
        logger.warning(f"{type(loader).__name__}: the order of the images starts anew in a resumed training")
    elif described.SEED >= 0:
        loader.sampler.seed = described.SEED
    if cfg.train.amp.enabled and amp_of(cfg) == "bfloat16":
        with_wide_features(model)
    model = distributed(model)
    trainer = LazyTrainer(
        model,
        loader,
        optimizer,
        folder=cfg.train.output_dir,
        max_skipped=cfg.train.get("max_skipped_steps", 0),
        amp=DTYPES[amp_of(cfg)] if cfg.train.amp.enabled else None,
    )
    checkpointer = LazyCheckpointer(
        model, cfg.train.output_dir, categories=lazy_categories(cfg, "train"), trainer=trainer
    )
    keep = cfg.train.checkpointer.get("max_to_keep") or 0
    evaluation = cfg.train.eval_period if cfg.dataloader.get("evaluator") is not None else 0
    writers = default_writers(cfg.train.output_dir, cfg.train.max_iter) if comm.is_main_process() else []
    state = TrainingState(described, loader, writers)
    every = [
        hooks.IterationTimer(),
        hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
        CheckpointHook(checkpointer, cfg.train.checkpointer.period, keep, evaluation),
        hooks.EvalHook(cfg.train.eval_period, lambda: evaluate(cfg, model)),
        *([hooks.PeriodicWriter(writers, period=cfg.train.log_period)] if writers else []),
        state,
    ]
    trainer.register_hooks(every)
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=resume)
    start = trainer.iter + 1 if resume and checkpointer.has_checkpoint() else 0
    if resume and start == 0:
        state.begin_again()
    trainer.train(start, cfg.train.max_iter)
