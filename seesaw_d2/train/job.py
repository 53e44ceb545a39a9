"""One process's part of a training or an evaluation."""

import logging
import os
from collections.abc import Callable
from typing import TypeVar

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from seesaw_d2.data import register_datasets
from seesaw_d2.errors import SeesawError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.acceleration import accelerate
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.launch.launcher import Elsewhere
from seesaw_d2.train.logs import log_to_console, own_logs, set_up_run
from seesaw_d2.train.preflight.categories import used_categories
from seesaw_d2.train.preflight.job_checks import check_job
from seesaw_d2.train.preflight.keys import passed_over, written_layers
from seesaw_d2.train.preflight.output_folder import take_folder
from seesaw_d2.train.preflight.run_lock import RunLock
from seesaw_d2.train.preflight.schedule import Schedule
from seesaw_d2.train.trainer import Trainer
from seesaw_d2.utils.messages import first_few

Found = TypeVar("Found")


def run(cfg: CfgNode, args) -> None:
    """Check the job, then train or evaluate.

    Args:
        cfg: not frozen.
        args: those of Detectron2's parser that say what to do: eval_only, resume, and overwrite.
    """
    lock = RunLock(cfg.OUTPUT_DIR)
    try:
        cfg, schedule, args.resume = agreed(lambda: checked(cfg, args, lock))
        register_datasets(cfg)
        with own_logs():
            if args.eval_only:
                evaluate(cfg, args)
            else:
                train(cfg, args, schedule)
    finally:
        lock.release()


def train(cfg: CfgNode, args, schedule: Schedule) -> None:
    """Train, and evaluate as the config says."""
    set_up_run(cfg, args, cfg.OUTPUT_DIR)
    logging.getLogger(__name__).info(f"Schedule: {schedule.describe()}")
    if both := trained_and_tested(cfg):
        logging.getLogger(__name__).warning(
            f"DATASETS.TEST: {', '.join(both)} is in DATASETS.TRAIN too: its metrics say nothing of new images"
        )
    if keys := passed_over(cfg, written_layers(args.config_file, args.opts)):
        logging.getLogger(__name__).info(f"Config keys that nothing reads, of choices not made: {first_few(keys)}")
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()


def trained_and_tested(cfg: CfgNode) -> list[str]:
    """Data sets of DATASETS.TEST that DATASETS.TRAIN has too, by name or annotation file.

    No image is looked at: ``tools/doctor.py`` does that.
    """
    files = {vars(MetadataCatalog.get(name)).get("json_file", name) for name in cfg.DATASETS.TRAIN}
    return [name for name in cfg.DATASETS.TEST if vars(MetadataCatalog.get(name)).get("json_file", name) in files]


def agreed(find: Callable[[], Found]) -> Found:
    """What ``find`` returns in the first process; one process of each machine calls it, while the others wait.

    Raises:
        SeesawError: in the process that has found it. Elsewhere: in the others.
    """
    outcome = None
    if comm.get_local_rank() == 0:
        try:
            outcome = find()
        except SeesawError as error:
            outcome = error
    outcomes = comm.all_gather(outcome)
    if isinstance(outcome, SeesawError):
        raise outcome
    if any(isinstance(each, SeesawError) for each in outcomes):
        raise Elsewhere
    return outcomes[0]


def checked(cfg: CfgNode, args, lock: RunLock) -> tuple[CfgNode, Schedule | None, bool]:
    """``check_job``; the job's first process then takes OUTPUT_DIR.

    Returns:
        the config, checked and frozen, the schedule of the training, and whether to resume, which processes of other
        machines cannot tell in a job that was started anew.
    """
    schedule = check_job(
        cfg,
        eval_only=args.eval_only,
        resume=args.resume,
        overwrite=args.overwrite,
        world_size=comm.get_world_size(),
        main_machine=comm.is_main_process(),
        written=written_layers(args.config_file, args.opts),
    )
    cfg.freeze()
    if comm.is_main_process() and not args.eval_only:
        take_folder(lock, resume=args.resume, overwrite=args.overwrite, weights=cfg.MODEL.WEIGHTS)
    return cfg, schedule, args.resume


def evaluate(cfg: CfgNode, args):
    """Evaluate ``MODEL.WEIGHTS`` (or, with ``--resume``, the last checkpoint) on ``DATASETS.TEST``.

    The config and the log of the run in OUTPUT_DIR are left as they are.
    """
    log_to_console()
    logging.getLogger(__name__).info(f"Evaluating on {', '.join(cfg.DATASETS.TEST)}")
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
    model = accelerate(build_model(cfg), cfg)
    checkpointer = SeesawCheckpointer(model, cfg.OUTPUT_DIR, strict=True, categories=used_categories(cfg, "TEST"))
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    Trainer.test(cfg, model)
    if cfg.TEST.AUG.ENABLED:
        Trainer.test_with_TTA(cfg, model)
