"""Test that a batch which needs more memory than available is reported before its step."""

import io

import pytest
import torch
from detectron2.config import CfgNode

from seesaw_d2.train.preflight.doctor import step_memory
from seesaw_d2.train.preflight.doctor.findings import Findings

SIZE = 2**26  # number of bytes that the examined function needs for an image
SOLVER = {"IMS_PER_BATCH": 8, "BASE_LR": 0.02, "REFERENCE_BATCH_SIZE": 0, "REFERENCE_WORLD_SIZE": 0}


def examine(monkeypatch, available, optimizer_size=0, images=8, **solver):
    """Return the reported problems, and the sizes of the batches on which the function ran.

    The memory is simulated, because the system can reclaim memory of a large process during a measurement.
    """
    monkeypatch.setattr(step_memory, "available_memory", lambda: available)
    monkeypatch.setattr(step_memory, "peak_memory", lambda: peaks[-1])
    monkeypatch.setattr(step_memory, "reset_peak_memory", lambda: peaks.append(7 * SIZE))
    ran, peaks = [], [50 * SIZE]

    def run(batch):
        ran.append([each["image"].numel() for each in batch])
        peaks.append(max(peaks[-1], (7 + len(batch)) * SIZE))

    findings = Findings(io.StringIO())
    batch = [{"image": torch.zeros(3, 4, 4 + index)} for index in range(images)]
    fits = step_memory.step_fits(CfgNode(SOLVER | solver), batch, run, findings, optimizer_size)
    assert fits == (not findings.to_fix)
    return findings.to_fix, ran


def test_a_batch_that_fits(monkeypatch):
    found, ran = examine(monkeypatch, 20 * SIZE)
    assert not found
    assert ran == [[132], [132, 120]]  # batches of the largest images


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        ({}, "SOLVER.IMS_PER_BATCH 4 SOLVER.REFERENCE_BATCH_SIZE 8,"),
        ({"REFERENCE_BATCH_SIZE": 16}, "SOLVER.IMS_PER_BATCH 4,"),
        ({"IMS_PER_BATCH": 16}, "SOLVER.IMS_PER_BATCH 8 SOLVER.REFERENCE_BATCH_SIZE 16,"),  # with two processes
        ({"REFERENCE_WORLD_SIZE": 2}, "SOLVER.IMS_PER_BATCH and SOLVER.BASE_LR by 0.5,"),
    ],
)
def test_a_batch_that_does_not_fit(monkeypatch, solver, words):
    (found,), _ = examine(monkeypatch, 4.5 / 0.8 * SIZE, **solver)
    assert words in found


def test_the_state_of_the_optimizer_counts(monkeypatch):
    assert not examine(monkeypatch, 12 * SIZE)[0]
    (found,), _ = examine(monkeypatch, 12 * SIZE, 3 * SIZE)
    assert "SOLVER.IMS_PER_BATCH 6 " in found, found


def test_a_single_image_that_does_not_fit(monkeypatch):
    (found,), _ = examine(monkeypatch, SIZE // 2)
    assert "INPUT.MIN_SIZE_TRAIN" in found
    assert "IMS_PER_BATCH" not in found


@pytest.mark.parametrize(("available", "images"), [(None, 8), (1, 2)])
def test_not_measured(monkeypatch, available, images):
    assert examine(monkeypatch, available, images=images) == ([], [])
