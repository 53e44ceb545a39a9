"""Test that training in two processes equals training in one process, up to rounding."""

import json

import pytest
import torch

from seesaw_d2.train import main
from tests.train.resumed_runs import options

# Avoid differences between processes: use all proposals and anchors, so that none are sampled, and let each image
# have its own statistics.
SHARED = [
    *("SOLVER.IMS_PER_BATCH", "4", "MODEL.RESNETS.NORM", "GN", "MODEL.RPN.BATCH_SIZE_PER_IMAGE", "20000"),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "4000", "SOLVER.MAX_ITER", "3", "SOLVER.STEPS", "()"),
    *("TEST.EVAL_PERIOD", "0"),
]


@pytest.mark.slow
def test_two_processes_are_one(config_file, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for processes, run in enumerate(runs, start=1):
        command = ["--config-file", str(config_file), "--num-processes", str(processes)]
        assert main([*command, *options(run, *SHARED)]) == 0
    one, two = (torch.load(run / "model_final.pth", weights_only=True)["model"] for run in runs)
    counts = "roi_heads.box_predictor.cls_loss.class_counts"
    assert one[counts].sum() > 3 * 4 * 100
    assert torch.equal(one[counts], two[counts])
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=2e-6)
    lines = [json.loads((run / "metrics.json").read_text().splitlines()[0]) for run in runs]
    losses = [{name: value for name, value in line.items() if "loss" in name} for line in lines]
    assert len(losses[0]) == 7
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
