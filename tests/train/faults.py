"""Provide helpers for tests of faults in trainings."""

from pathlib import Path

import torch

# No evaluation, and no decay of the learning rate, which a shorter run would not reach.
PLAIN = ["TEST.EVAL_PERIOD", "0", "DATASETS.TEST", "()", "SEED", "1", "SOLVER.STEPS", "()"]


def state_of(run: Path):
    """Return the final checkpoint of a run."""
    return torch.load(run / "model_final.pth", weights_only=True)
