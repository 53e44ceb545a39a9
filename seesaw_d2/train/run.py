"""Run a training or an evaluation in one process of a job."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from detectron2.config import CfgNode
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.errors import SeesawError
from seesaw_d2.evaluation.evaluation_settings import Differences, describe_settings, other_settings
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.acceleration import accelerate
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.checkpoints.resume_files import resume_file
from seesaw_d2.train.job import Job
from seesaw_d2.train.launch.launcher import Elsewhere
from seesaw_d2.train.logs import log_to_console, own_logs, set_up_run
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.preflight.keys.written import written_layers
from seesaw_d2.train.preflight.output_folder import take_folder
from seesaw_d2.train.preflight.run_lock import RunLock
from seesaw_d2.train.trainer import Trainer

Found = TypeVar("Found")
logger = logging.getLogger(__name__)
_PATIENCE = 60.0  # a process that waits for the checks longer than this number of seconds prints a message


def run(cfg: CfgNode, args) -> None:
    """Check a job with a YAML config, then train or evaluate.

    Args:
        cfg: config, not frozen, because the checks replace values such as MODEL.DEVICE auto in place.
        args: parsed arguments of ``argument_parser``.
    """
    preflight = Preflight(cfg, written=written_layers(args.config_file, args.opts), **options_of(args))

    def work(job: Job) -> None:
        register_datasets(job.cfg)
        if job.eval_only:
            evaluate(job, preflight)
        else:
            train(job, preflight, args)

    run_job(preflight, work)


def options_of(args) -> dict[str, Any]:
    """Return the keyword arguments of ``Preflight`` for this process: command-line options and number of processes."""
    return {
        **{name: getattr(args, name) for name in ("eval_only", "resume", "overwrite")},
        "world_size": comm.get_world_size(),
        "main_machine": comm.is_main_process(),
    }


def run_job(preflight: Preflight, work: Callable[[Job], None]) -> None:
    """Check the job, then call ``work(job)`` in every process.

    The first process of each machine runs the checks. For a training, the main process also locks OUTPUT_DIR.

    Args:
        preflight: checks of the job, not run yet.
        work: function that trains or evaluates with the checked settings.
    """
    lock = RunLock(preflight.cfg.OUTPUT_DIR)
    try:
        with own_logs():
            job = agreed(lambda: _checked(preflight, lock))
            work(job)
    finally:
        lock.release()


def agreed(find: Callable[[], Found]) -> Found:
    """Call ``find`` in the first process of each machine, and return rank 0's result in every process.

    If ``find`` raises a SeesawError in a process, this process raises the error again. All processes without an error
    raise ``Elsewhere``, which ends them with exit status 2.
    """
    outcome = None
    waits = threading.Timer(_PATIENCE, _say_waiting)
    if comm.get_local_rank() == 0:
        try:
            outcome = find()
        except SeesawError as error:
            outcome = error
    else:
        waits.daemon = True
        waits.start()
    outcomes = comm.all_gather(outcome)
    waits.cancel()
    if isinstance(outcome, SeesawError):
        raise outcome
    if any(isinstance(each, SeesawError) for each in outcomes):
        raise Elsewhere
    return outcomes[0]


def _say_waiting() -> None:
    print(
        f"rank {comm.get_rank()}: waiting for the first process of each machine to check the job (at most "
        "SOLVER.COLLECTIVE_TIMEOUT minutes)",
        file=sys.stderr,
        flush=True,
    )


def _checked(preflight: Preflight, lock: RunLock) -> Job:
    job = preflight.job()
    job.cfg.freeze()
    if comm.is_main_process() and not job.eval_only:
        take_folder(lock, resume=job.resume, overwrite=preflight.overwrite, weights=job.cfg.MODEL.WEIGHTS)
    return job


def train(job: Job, preflight: Preflight, args) -> None:
    """Train the model, and evaluate it every TEST.EVAL_PERIOD iterations and at the end.

    Args:
        job: checked settings of the training.
        preflight: checks of the job, which may have built the model.
        args: parsed arguments of ``argument_parser``.
    """
    set_up_run(job.cfg, args, job.cfg.OUTPUT_DIR)
    for note in job.notes:
        logger.info(note)
    for warning in job.warnings:
        logger.warning(warning)
    trainer = Trainer(job.cfg, preflight.take_model())
    trainer.resume_or_load(resume=job.resume)
    trainer.train()


def evaluate(job: Job, preflight: Preflight) -> None:
    """Evaluate ``MODEL.WEIGHTS`` or, with ``--resume``, the last checkpoint on ``DATASETS.TEST``.

    If OUTPUT_DIR contains a run, the evaluation does not change the run's config.yaml and log.txt.

    Args:
        job: checked settings of the evaluation.
        preflight: checks of the job, which may have built the model.
    """
    cfg = job.cfg
    log_to_console()
    logger.info(f"Evaluating on {', '.join(cfg.DATASETS.TEST)}")
    for warning in job.warnings:
        logger.warning(warning)
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
    model = preflight.take_model()
    model = accelerate(build_model(cfg) if model is None else model, cfg)
    checkpointer = SeesawCheckpointer(model, cfg.OUTPUT_DIR, strict=True, categories=job.categories)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=job.resume)
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    results = Trainer.test(cfg, model, settings=tell_other_settings(job, cfg.dump()))
    if cfg.TEST.EXPECTED_RESULTS and comm.is_main_process():
        verify_results(cfg, results)
    if cfg.TEST.AUG.ENABLED:
        Trainer.test_with_TTA(cfg, model, tell_other_settings(job, cfg.dump(), augmented=True))


def tell_other_settings(job: Job, config: str, *, augmented: bool = False) -> Differences:
    """Return the settings in which an evaluation differs from the run in OUTPUT_DIR, and log a warning if any differ.

    Args:
        job: checked settings of the evaluation.
        config: config of the evaluation as YAML.
        augmented: whether the evaluation uses test-time augmentation (TEST.AUG).

    Returns:
        a dict from each differing config key to (value in the run, value in the evaluation).
    """
    folder, found = job.cfg.OUTPUT_DIR, resume_file(job.cfg.OUTPUT_DIR) if job.resume else None
    weights = found.path if found else job.cfg.MODEL.WEIGHTS
    settings = other_settings(folder, config, weights, augmented=augmented)
    if settings:
        logger.warning(
            f"{folder}: this evaluation replaces the results of the run in this folder, but has other settings: "
            f"{describe_settings(settings)}. To keep the results of the run, use another output folder"
        )
    return settings
