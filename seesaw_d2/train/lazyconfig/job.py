"""Train and evaluate the models of LazyConfigs. The program ``lazyconfig_train_net.py`` calls this module.

A LazyConfig has ``model``, ``optimizer``, ``lr_multiplier``, ``dataloader.train``, ``dataloader.test``,
``dataloader.evaluator``, and ``train`` with the keys of Detectron2's ``configs/common/train.py``. The options in
``train.ddp`` and the option ``train.model_ema.enabled`` of Detectron2's main branch must be False. These keys are
optional:

- ``train.seed``: >= 0, as SEED.
- ``train.max_skipped_steps``: >= 0, as SOLVER.MAX_SKIPPED_STEPS.
- ``train.amp.dtype``: "float16" or "bfloat16", as SOLVER.AMP.DTYPE.
- ``train.collective_timeout``: timeout in minutes, as SOLVER.COLLECTIVE_TIMEOUT.
- ``train.download_timeout``: timeout in seconds, as MODEL.DOWNLOAD_TIMEOUT.
- ``train.download_time_limit``: timeout in seconds, as MODEL.DOWNLOAD_TIME_LIMIT.
- ``train.checkpointer.max_to_keep``: as SOLVER.CHECKPOINT_KEEP.

Signals, checkpoints, skipped steps, the lock on the folder and resuming work as in ``train_net.py``. On a CPU, a
resumed run is bit for bit equal to an uninterrupted run if ``dataloader.train`` is a ``TrainLoader``. With another
loader, the image order starts from the beginning, and a warning is logged.

Unlike ``train_net.py``, this module does not check the weights before it writes files. It does not support schedules in
epochs, the best checkpoint, images in TensorBoard, and Weights & Biases.
"""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from detectron2.config import LazyConfig, instantiate
from detectron2.engine import default_writers, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm

from seesaw_d2.arguments import argument_parser
from seesaw_d2.data.sampling.train_loader import TrainLoader
from seesaw_d2.errors import WeightsError
from seesaw_d2.evaluation.earlier_results import replacing_results
from seesaw_d2.evaluation.evaluation_settings import Differences, recorded_settings
from seesaw_d2.evaluation.results_files import write_json
from seesaw_d2.train.acceleration import amp_dtype, with_wide_features
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.checkpoints.hooks import CheckpointHook
from seesaw_d2.train.checkpoints.training_state import TrainingState
from seesaw_d2.train.command_line import Program, group_of, launch_job
from seesaw_d2.train.early_end import EndsEarly
from seesaw_d2.train.job import Job
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.launch.signals import STOP
from seesaw_d2.train.lazyconfig.loading import lazy_names, lazy_values, load_lazy_config
from seesaw_d2.train.lazyconfig.preflight import LazyPreflight, build_model, common_settings
from seesaw_d2.train.logs import log_to_console, set_up_run
from seesaw_d2.train.preflight.config_checks import resolve_device
from seesaw_d2.train.run import options_of, run_job, tell_other_settings
from seesaw_d2.train.step import Step
from seesaw_d2.train.unfinished_results import UnfinishedResults
from seesaw_d2.utils.distributed import broadcast_buffers, distributed

logger = logging.getLogger(__name__)


class LazyTrainer(EndsEarly, Step):
    """Trainer for LazyConfigs that skips steps with non-finite losses, and writes metrics even if it stops early."""


class LazyCheckpointer(SeesawCheckpointer):
    """Checkpointer that also loads paths with Detectron2's option, such as ``PATH?matching_heuristics=True``.

    With this option, Detectron2 matches parameters of the checkpoint and the model by the ends of their names.
    """

    def load(self, path, checkpointables=None):
        path, _, option = path.partition("?")
        if option not in ("", "matching_heuristics=True"):
            raise WeightsError(
                f"train.init_checkpoint: expected PATH or PATH?matching_heuristics=True, found {path}?{option}"
            )
        self._heuristics = bool(option)
        return super().load(path, checkpointables)

    def _load_file(self, filename):
        loaded = super()._load_file(filename)
        return {**loaded, "matching_heuristics": True} if self._heuristics else loaded


def main(arguments=None) -> int:
    """Train or evaluate the model of a LazyConfig, and return the exit status.

    Options and exit status are the same as in ``train_net.py``, except that overrides have the form ``key=value``.

    Args:
        arguments: list of command-line arguments. If None, those of this program.
    """
    return start(argument_parser(lazy=True).parse_args(arguments))


def start(args) -> int:
    """Launch the job that the parsed arguments describe. Return its exit status, 0 for success (see ``main``)."""
    return launch_job(args, prepare)


def prepare(args, world: ProcessLayout) -> Program:
    """Load the LazyConfig, and return the program to launch: the function ``run`` with ``args`` as argument.

    Each process loads the config again. The config cannot be sent to the processes, because lambdas cannot be pickled.

    Args:
        args: parsed arguments of the command line.
        world: number and ranks of the job's processes.

    Returns:
        (function to run in each process, communication settings, arguments of the function).
    """
    cfg = load_lazy_config(args.config_file, args.opts)
    with lazy_names():
        settings = common_settings(cfg)
        resolve_device(settings, world, training=not args.eval_only)
        group = group_of(args, world, settings, lazy_values(cfg))
    return run, group, (args,)


def run(args) -> None:
    """Load and check the LazyConfig, then train or evaluate its model. Each process of the job calls this function."""
    cfg = load_lazy_config(args.config_file, args.opts)
    with lazy_names():
        preflight = LazyPreflight(cfg, **options_of(args))

        def work(job: Job) -> None:
            model = preflight.take_model()
            model = build_model(cfg, job.cfg.SEED) if model is None else model
            model.to(cfg.train.device)
            if job.eval_only:
                log_to_console()
                checkpointer = LazyCheckpointer(model, job.cfg.OUTPUT_DIR, strict=True, categories=job.categories)
                checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=job.resume)
                evaluate(cfg, model, tell_other_settings(job, _as_yaml(cfg)))
            else:
                set_up_run(cfg, args, job.cfg.OUTPUT_DIR)
                for warning in job.warnings:
                    logger.warning(warning)
                train(cfg, model, job)

        run_job(preflight, work)


def evaluate(cfg: Any, model, settings: Differences | None = None) -> dict | None:
    """Evaluate a model on ``dataloader.test``, and write results.json. Without ``dataloader.evaluator``, do nothing.

    Args:
        cfg: the LazyConfig.
        model: the model, possibly in DistributedDataParallel.
        settings: differences between this evaluation and the run in the output folder, a dict from config key to (value
            in the run, value in the evaluation). The function stores them beside the results.

    Returns:
        the results of Detectron2's ``inference_on_dataset``, or None without ``dataloader.evaluator``.
    """
    if cfg.dataloader.get("evaluator") is None:
        return None
    folder = _results_folder(cfg)
    with STOP.at_once(), recorded_settings([folder] if comm.is_main_process() else [], settings):
        broadcast_buffers(model)  # every process evaluates with the buffers of rank 0, as in checkpoints
        evaluator = replacing_results(folder, instantiate(cfg.dataloader.evaluator))
        results = inference_on_dataset(model, instantiate(cfg.dataloader.test), evaluator)
        if comm.is_main_process():
            print_csv_format(results)
            write_json(os.path.join(folder, "results.json"), results)
    return results


def _results_folder(cfg: Any) -> str:
    return cfg.dataloader.evaluator.get("output_dir") or os.path.join(cfg.train.output_dir, "inference")


def _as_yaml(cfg: Any) -> str:
    """Return a LazyConfig as YAML, the text that Detectron2 writes to config.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        LazyConfig.save(cfg, str(path))
        return path.read_text()


def train(cfg: Any, model, job: Job) -> None:
    """Train as Detectron2's ``lazyconfig_train_net.py`` does, but with this project's steps and checkpoints.

    Args:
        cfg: the LazyConfig.
        model: the model on its device.
        job: checked settings of the training.
    """
    logger.info(f"Model:\n{model}")
    settings, folder = job.cfg, job.cfg.OUTPUT_DIR
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    loader = instantiate(cfg.dataloader.train)
    if not isinstance(loader, TrainLoader):
        logger.warning(
            f"dataloader.train: a resumed training cannot continue at the last position of {type(loader).__name__}. "
            "Instead, it starts again with the first images of the loader"
        )
    elif settings.SEED >= 0:
        loader.sampler.seed = settings.SEED
    if amp_dtype(settings) is not None and settings.SOLVER.AMP.DTYPE == "bfloat16":
        with_wide_features(model)
    model = distributed(model)
    trainer = LazyTrainer(
        model,
        loader,
        optimizer,
        folder=folder,
        max_skipped=settings.SOLVER.MAX_SKIPPED_STEPS,
        amp=amp_dtype(settings),
    )
    checkpointer = LazyCheckpointer(model, folder, categories=job.categories, trainer=trainer)
    evaluation = cfg.train.eval_period if cfg.dataloader.get("evaluator") is not None else 0
    writers = default_writers(folder, settings.SOLVER.MAX_ITER) if comm.is_main_process() else []
    config = Path(folder, "config.yaml")  # default_setup has written this file
    state = TrainingState(
        loader, writers, seed=settings.SEED, config=config.read_text() if config.is_file() else "", folder=folder
    )
    saves = CheckpointHook(checkpointer, settings.SOLVER.CHECKPOINT_PERIOD, settings.SOLVER.CHECKPOINT_KEEP, evaluation)
    every = [
        hooks.IterationTimer(),
        hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
        saves,
        hooks.EvalHook(cfg.train.eval_period, lambda: evaluate(cfg, model)),
        UnfinishedResults([_results_folder(cfg)] if evaluation else [], evaluation, "train.max_iter"),
        *([hooks.PeriodicWriter(writers, period=cfg.train.log_period)] if writers else []),
        state,
    ]
    trainer.register_hooks(every)
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=job.resume)
    start = trainer.iter + 1 if job.resume and checkpointer.has_checkpoint() else 0
    if job.resume and start == 0:
        state.begin_again()
    trainer.train(start, settings.SOLVER.MAX_ITER)
