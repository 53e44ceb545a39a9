"""Run and interrupt trainings, and compare two runs bit for bit."""

import json
from pathlib import Path

import torch
from detectron2.engine.hooks import PeriodicWriter

from seesaw_d2.train.monitoring import ClassCountHook
from seesaw_d2.train.trainer import Trainer

# Times of StepReport, and values that are computed from these times.
TIMES = {"time", "data_time", "rank_data_time", "eta_seconds"}
ITERATIONS = 6
# Entries that may differ between two equal runs: the config with OUTPUT_DIR, and the size of metrics.json.
STARTED = ("config", "metrics_size")


def options(run: Path, *overrides) -> list[str]:
    """Set checkpoints after iterations 2, 4, 6, evaluation after 4 and at the end, augmentation, repeat factors, unless
    ``overrides`` select another sampler."""
    sampler = ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "DATALOADER.REPEAT_THRESHOLD", "0.5")
    return [
        *("OUTPUT_DIR", str(run), "SOLVER.MAX_ITER", str(ITERATIONS), "SOLVER.CHECKPOINT_PERIOD", "2"),
        *("SOLVER.STEPS", "(5,)", "SOLVER.WARMUP_ITERS", "3", "TEST.EVAL_PERIOD", "4", "SEED", "7"),
        *(() if "DATALOADER.SAMPLER_TRAIN" in overrides else sampler),
        *("INPUT.RANDOM_FLIP", "horizontal", "SOLVER.IMS_PER_BATCH", "2"),
        *overrides,
    ]


def log_every_iteration(monkeypatch) -> None:
    """Let Detectron2's writers and the hook of class counts write in each iteration instead of every 20 iterations."""
    original = Trainer.build_hooks

    def build_hooks(self):
        found = original(self)
        for hook in found:
            if isinstance(hook, (PeriodicWriter, ClassCountHook)):
                hook._period = 1
        return found

    monkeypatch.setattr(Trainer, "build_hooks", build_hooks)


def metrics(run: Path) -> list[str]:
    """Return the lines of metrics.json without times."""
    lines = [json.loads(line) for line in (run / "metrics.json").read_text().splitlines()]
    return [repr({key: value for key, value in line.items() if key not in TIMES}) for line in lines]


def assert_same(a, b, path="") -> None:
    """Assert that all tensors are equal bit for bit."""
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, path
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() - TIMES == b.keys() - TIMES, path
        for key in a.keys() - TIMES:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), path
        for index, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{path}/{index}")
    else:
        assert repr(a) == repr(b), path  # compare text, so that nan equals nan


def final_state(run: Path) -> dict:
    """Return the last checkpoint without the entries about how the run was started."""
    state = torch.load(run / "model_final.pth", weights_only=True)
    for key in STARTED:
        del state["trainer"]["hooks"]["TrainingState"][key]
    return state


def assert_same_runs(one: Path, other: Path) -> None:
    """Compare weights, class counts, optimizer, scheduler, data position, logs and evaluation."""
    assert_same(final_state(one), final_state(other))
    assert metrics(one) == metrics(other)
    results = [sorted(run.glob("inference/*/results.json")) for run in (one, other)]
    assert results[0]
    assert [path.read_text() for path in results[0]] == [path.read_text() for path in results[1]]
