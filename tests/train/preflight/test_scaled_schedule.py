"""Test that SOLVER.REFERENCE_WORLD_SIZE scales batch size, learning rate and schedule as in Detectron2."""

import pytest
import torch
import yaml
from detectron2.engine import DefaultTrainer

from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config, main
from seesaw_d2.train.command_line import argument_parser, prepare
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.preflight.schedule import apply_schedule, scale_to_processes
from seesaw_d2.train.trainer import Trainer

SCALED = [
    *("SOLVER.REFERENCE_WORLD_SIZE", 2, "SOLVER.IMS_PER_BATCH", 4, "SOLVER.BASE_LR", 0.02, "SOLVER.MAX_ITER", 30),
    *("SOLVER.STEPS", (10, 20), "SOLVER.WARMUP_ITERS", 6, "SOLVER.CHECKPOINT_PERIOD", 1, "TEST.EVAL_PERIOD", 15),
    *("MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER", 20, "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_ITER", 24),
]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8, 30])
def test_a_schedule_for_a_number_of_processes_is_detectron2s(world_size):
    """Compare the scaled schedule with Detectron2. START_ITER of PCB and LDAM is scaled, too. A period of 1 stays 1."""
    cfg = load_config("", SCALED)
    expected = DefaultTrainer.auto_scale_workers(cfg, world_size)
    if world_size != 2:
        expected.MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER = round(20 * 2 / world_size)
        expected.MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_ITER = round(24 * 2 / world_size)
    for node, key in ((expected.SOLVER, "CHECKPOINT_PERIOD"), (expected.TEST, "EVAL_PERIOD")):
        node[key] = max(node[key], 1)
    assert Trainer.auto_scale_workers(cfg, world_size).dump() == expected.dump()
    assert scale_to_processes(cfg, world_size) == (0 if world_size == 2 else 2)
    assert cfg.dump() == expected.dump()
    assert scale_to_processes(cfg, world_size) == 0
    assert cfg.dump() == expected.dump()


def test_a_run_says_and_keeps_its_scaled_schedule(config_file):
    """Test that one process instead of two logs the scaled schedule and saves it in the config."""
    steps = ["SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)", "SOLVER.REFERENCE_WORLD_SIZE", "2"]
    loss = "MODEL.ROI_BOX_HEAD.CLS_LOSS"
    pcb = [f"{loss}.NAME", "PairwiseClassBalance", f"{loss}.PCB.START_ITER", "1"]
    assert main(["--config-file", str(config_file), *steps, *pcb, "SOLVER.BASE_LR", "0.02"]) == 0
    run = config_file.parent / "run"
    log = (run / "log.txt").read_text().replace("\n", " ")
    assert "Schedule: 4 iterations of 2 images, steps at 2. Learning rate 0.01. The config was written for 2" in log
    saved = yaml.safe_load((run / "config.yaml").read_text())
    solver = saved["SOLVER"]
    assert (solver["MAX_ITER"], solver["STEPS"], solver["BASE_LR"], solver["IMS_PER_BATCH"]) == (4, [2], 0.01, 2)
    assert (solver["REFERENCE_WORLD_SIZE"], saved["MODEL"]["ROI_BOX_HEAD"]["CLS_LOSS"]["PCB"]["START_ITER"]) == (1, 2)
    assert torch.load(run / "model_final.pth", weights_only=True)["iteration"] == 3


def test_a_batch_that_fits_once_it_is_scaled(config_file):
    """Test that 3 processes accept a batch of 4 for 2 processes, because the scaled batch, 6, is divisible by 3."""
    args = argument_parser().parse_args(["--config-file", str(config_file), "SOLVER.REFERENCE_WORLD_SIZE", "2"])
    prepare(args, ProcessLayout(3, 3, starter="--num-processes"))
    args.opts = []
    with pytest.raises(ConfigError, match=r"SOLVER\.IMS_PER_BATCH: .*found 4"):
        prepare(args, ProcessLayout(3, 3, starter="--num-processes"))


@pytest.mark.parametrize(
    ("overrides", "key", "found"),
    [
        (["SOLVER.REFERENCE_WORLD_SIZE", "3"], "SOLVER.IMS_PER_BATCH", "4"),
        (["SOLVER.REFERENCE_WORLD_SIZE", "8"], "SOLVER.IMS_PER_BATCH", "4"),
        (["SOLVER.REFERENCE_WORLD_SIZE", "-1"], "SOLVER.REFERENCE_WORLD_SIZE", "-1"),
        (["SOLVER.REFERENCE_WORLD_SIZE", "4", "SOLVER.EPOCHS", "2.0"], "SOLVER.EPOCHS", "2.0"),
        (["SOLVER.REFERENCE_WORLD_SIZE", "1", "SOLVER.STEPS", "(1, 1)"], "SOLVER.STEPS", "[1, 1]"),
    ],
)
def test_a_schedule_that_cannot_be_scaled(config_file, capsys, overrides, key, found):
    assert main(["--config-file", str(config_file), *overrides]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {key}: ")
    assert found in error
    assert not (config_file.parent / "run").exists()


def test_scaled_steps_that_fall_together():
    cfg = load_config("", [*SCALED, "SOLVER.STEPS", (10, 11)])
    with pytest.raises(ConfigError, match=r"SOLVER\.STEPS: .*\[1, 1\].*2 processes"):
        apply_schedule(cfg, scaled_from=scale_to_processes(cfg, 30))
