"""Examine the disk space for the checkpoints of a run."""

import os
import shutil

from detectron2.config import CfgNode

from seesaw_d2.train.preflight.doctor.environment import GIB
from seesaw_d2.train.preflight.doctor.findings import Findings


def examine_disk(cfg: CfgNode, findings: Findings, checkpoint_size: int) -> None:
    """Report whether the disk of OUTPUT_DIR has enough free space for all checkpoints of a training.

    Args:
        cfg: a config with the final values of MAX_ITER and CHECKPOINT_PERIOD.
        findings: object that prints and collects the problems.
        checkpoint_size: size of one checkpoint in bytes.
    """
    folder = os.path.abspath(cfg.OUTPUT_DIR or ".")
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    count = number_of_checkpoints(cfg)
    needed = checkpoint_size * (count + 1)  # add one for the temporary file while a checkpoint is written
    free = shutil.disk_usage(folder).free
    text = (
        f"{count} checkpoints of about {checkpoint_size / GIB:.2f} GiB (SOLVER.CHECKPOINT_PERIOD "
        f"{cfg.SOLVER.CHECKPOINT_PERIOD}) need {needed / GIB:.1f} GiB. {free / GIB:.1f} GiB are free in {folder}"
    )
    if needed > free:
        findings.fix(f"{text}. Free disk space, or keep fewer checkpoints (SOLVER.CHECKPOINT_KEEP)")
    else:
        findings.ok(text)


def number_of_checkpoints(cfg: CfgNode) -> int:
    """Return the number of checkpoints in OUTPUT_DIR after the training, with model_final.pth and model_best.pth."""
    solver = cfg.SOLVER
    periodic = solver.MAX_ITER // solver.CHECKPOINT_PERIOD if solver.CHECKPOINT_PERIOD > 0 else 0
    if solver.CHECKPOINT_KEEP > 0:
        periodic = min(periodic, solver.CHECKPOINT_KEEP)
    return periodic + 1 + bool(solver.CHECKPOINT_BEST)
