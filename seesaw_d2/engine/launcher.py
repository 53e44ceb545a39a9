"""The command line of ``train_net.py``."""

import logging
import os
import sys

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger

from seesaw_d2.data import register_datasets
from seesaw_d2.engine.checkpointing import SeesawCheckpointer
from seesaw_d2.engine.checks import check_job
from seesaw_d2.engine.config import load_config
from seesaw_d2.engine.schedule import Schedule
from seesaw_d2.engine.trainer import Trainer
from seesaw_d2.errors import SeesawError


def argument_parser():
    """Detectron2's own arguments, and ``--overwrite``."""
    parser = default_argument_parser()
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the run that OUTPUT_DIR holds, which is otherwise refused",
    )
    return parser


def main(arguments=None) -> int:
    """Parse the command line, check everything, then train or evaluate.

    Returns:
        the exit status: 0, 2 for a mistake in what was given (printed), 130 after ctrl-C.
    """
    args = argument_parser().parse_args(arguments)
    try:
        cfg = load_config(args.config_file, args.opts)
        schedule = check_job(
            cfg,
            eval_only=args.eval_only,
            resume=args.resume,
            overwrite=args.overwrite,
            num_gpus=args.num_gpus,
            num_machines=args.num_machines,
            main_machine=args.machine_rank == 0,
        )
        cfg.freeze()
        launch(
            run,
            max(args.num_gpus, 1),
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(cfg, args, schedule),
        )
    except SeesawError as error:
        print(f"error: {_brief(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command with --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def run(cfg: CfgNode, args, schedule: Schedule | None) -> None:
    """One process's part of the job; ``schedule`` is what ``check_job`` returned."""
    register_datasets(cfg)
    if args.eval_only:
        evaluate(cfg, args)
        return
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="seesaw_d2")
    logging.getLogger(__name__).info(f"Schedule: {schedule.describe()}")
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()


def evaluate(cfg: CfgNode, args):
    """Evaluate ``MODEL.WEIGHTS`` (or, with ``--resume``, the last checkpoint) on ``DATASETS.TEST``.

    The config and the log of the run in OUTPUT_DIR are left as they are.
    """
    setup_logger(distributed_rank=comm.get_rank(), name="fvcore")
    setup_logger(distributed_rank=comm.get_rank())
    setup_logger(distributed_rank=comm.get_rank(), name="seesaw_d2")
    logging.getLogger(__name__).info(f"Evaluating on {', '.join(cfg.DATASETS.TEST)}")
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
    model = build_model(cfg)
    checkpointer = SeesawCheckpointer(model, cfg.OUTPUT_DIR, strict=True)
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    return Trainer.test(cfg, model)


def _brief(error: Exception) -> str:
    """The message without the loader process's traceback that PyTorch puts around it."""
    message = str(error)
    if "Original Traceback" in message:
        message = message.strip().splitlines()[-1].split(": ", 1)[-1]
    return message
