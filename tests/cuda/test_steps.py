"""Test training steps in each data type on the GPU, and the places where the host waits for the GPU."""

import itertools
import warnings

import pytest
import torch
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from seesaw_d2.train import Trainer
from seesaw_d2.train.acceleration import amp_dtype
from seesaw_d2.train.step import Step
from tests.cuda.devices import on_gpu
from tests.cuda.waiting import waits
from tests.modeling.test_autocast import HEADS
from tests.modeling.tiny import tiny_batch, tiny_config
from tests.pretend_cuda.waits import COPIES, STEP

LATE = ("SOLVER.METRICS_PERIOD", "20", "SOLVER.OPTIMIZER_IMPLEMENTATION", "fused")


def trainer(device, folder, *overrides):
    cfg = tiny_config("MODEL.DEVICE", device, "SOLVER.BASE_LR", "0.005", *overrides)
    torch.manual_seed(0)
    model = Trainer.build_model(cfg).train()
    made = Step(
        model,
        itertools.repeat(tiny_batch()),
        Trainer.build_optimizer(cfg, model),
        folder=str(folder),
        amp=amp_dtype(cfg),
        metrics_period=cfg.SOLVER.METRICS_PERIOD,
    )
    made.iter = 0
    return made


def losses(trainer, steps):
    """Return the total loss of each step."""
    with EventStorage() as storage:
        for trainer.iter in range(steps):
            trainer.run_step()
            storage.step()
        trainer.settle()
    return [value for value, _ in storage.history("total_loss").values()]


AMP = {
    "float32": (),
    "bfloat16": ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16"),
    "float16": ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "float16"),
    "late": LATE,
    "fast": ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16", "MODEL.CHANNELS_LAST", "True", *LATE),
}


CASES = [("cpu", "mask_rcnn", "float32"), ("cpu", "pcb", "fast")]  # on the CPU, to find mistakes in the test
CASES += [pytest.param("cuda", head, name, marks=on_gpu) for head in HEADS for name in AMP]


@pytest.mark.parametrize(("device", "head", "name"), CASES)
def test_steps_learn(device, head, name, tmp_path):
    found = losses(trainer(device, tmp_path, *HEADS[head], *AMP[name]), 12)
    assert len(found) >= 11  # with float16, the first loss scale may be too large
    assert torch.tensor(found).isfinite().all()
    assert sum(found[-3:]) < sum(found[:3])


@pytest.mark.parametrize("head", [pytest.param(head, marks=on_gpu) for head in HEADS])
def test_the_waits_are_those_of_the_table(head, tmp_path):
    """Test that a step with late metrics has the same GPU synchronizations as on the simulated device."""
    step = trainer("cuda", tmp_path, *HEADS[head], *LATE)
    with EventStorage():
        step.run_step()
        with waits() as found:
            step.run_step()
    known = {*STEP[head], *COPIES}
    if not hasattr(comm, "create_local_process_group"):  # v0.6. The main branch waits in other places
        assert found.keys() - {"test"} <= known
    assert {place for place in found if place.startswith("seesaw_d2/")} <= known
    assert found  # the debug mode is active


def test_waits_are_counted_by_place():
    """Test the counter with the warnings that PyTorch gives on a GPU."""

    def wait():
        warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)

    modes = []
    with waits(modes.append) as found:
        wait()
        wait()
        warnings.warn("another", UserWarning, stacklevel=1)
    assert found == {"test": 2}
    assert modes == ["warn", "default"]
