"""Test that PCB trains on the command line, and that a resumed run keeps its statistics."""

import torch

from seesaw_d2.train import main

PCB = [
    *("MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False"),
    *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"),
    *("MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.LOSS", "EqualizationLossV2", "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER", "1"),
]


def state(run):
    weights = torch.load(run / "model_final.pth", weights_only=True)["model"]
    prefix = "roi_heads.box_predictor.cls_loss."
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def test_a_resume_goes_on_with_its_counts_and_the_wrapped_losss(config_file):
    """Test that PCB resumes with its counts and those of the wrapped loss. The authors' EQL v2 keeps no counts."""
    arguments = ["--config-file", str(config_file)]
    assert main([*arguments, *PCB]) == 0
    first = state(config_file.parent / "run")
    assert first["steps"] == 3
    assert first["seen_counts"].sum() > 0
    assert first["loss.positive_gradients"].sum() > 0
    assert main([*arguments, "--resume", *PCB, "SOLVER.MAX_ITER", "4"]) == 0
    second = state(config_file.parent / "run")
    assert second["steps"] == 4
    for key in ("seen_counts", "loss.positive_gradients", "loss.negative_gradients"):
        assert (second[key] >= first[key]).all()
        assert second[key].sum() < 2 * first[key].sum()


def test_what_the_head_cannot_do_is_said_before_anything_is_written(config_file, capsys):
    overrides = [*PCB, "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "True"]
    assert main(["--config-file", str(config_file), *overrides]) == 2
    assert "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG: expected False" in capsys.readouterr().err
    overrides = [*PCB, "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.MAX_MATRIX_MB", "1e-6"]
    assert main(["--config-file", str(config_file), *overrides]) == 2
    error = capsys.readouterr().err
    assert "CLS_LOSS.PCB.MAX_MATRIX_MB: " in error
    assert "0.000144" in error
    assert not (config_file.parent / "run").exists()
