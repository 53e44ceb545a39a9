"""Test that mistakes on the command line raise errors before anything is computed or written."""

import pytest
import torch
from detectron2.modeling import ROI_HEADS_REGISTRY, StandardROIHeads

from seesaw_d2.train import main
from tests.train.test_train_net import files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL.ROI_HEADS.NUM_CLASSES", "7"], "MODEL.ROI_HEADS.NUM_CLASSES"),
        (["MODEL.ROI_HEADS.NAME", "SeesawROIHead"], "Did you mean SeesawROIHeads?"),
        (["MODEL.ANCHOR_GENERATOR.NAME", "DefaultAnchors"], "MODEL.ANCHOR_GENERATOR.NAME"),
        (["MODEL.KEYPOINT_ON", "True"], "MODEL.KEYPOINT_ON"),
        (["MODEL.ROI_HEADS.NAMES", "SeesawROIHeads"], "Did you mean MODEL.ROI_HEADS.NAME?"),
        (["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "SeasawLoss"], "SeesawLoss"),
        (["MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P", "-0.5"], "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P"),
        (["MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE", "0.0"], "CLS_PREDICTOR.TEMPERATURE"),
        (
            ["MODEL.ROI_HEADS.NAME", "StandardROIHeads", "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P", "0.5"],
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P",
        ),
        (["MODEL.WEIGHTS", "nowhere.pth"], "nowhere.pth: no such file"),
        (["--eval-only"], "MODEL.WEIGHTS: expected a weights file"),
        (["--eval-only", "SOLVER.AMP.ENABLED", "True"], "MODEL.WEIGHTS: expected a weights file"),
        (["DATASETS.TRAIN", "('glyph_train',)"], "glyph_train"),
        (["DATASETS.REGISTER", "[{'NAME': 'x', 'JSON': 'nowhere.json', 'IMAGES': '.'}]"], "nowhere.json"),
        (["MODEL.DEVICE", "cuda"], "MODEL.DEVICE"),
        (["SOLVER.AMP.ENABLED", "True"], "SOLVER.AMP.DTYPE: expected bfloat16"),
        (["--num-gpus", "3"], "3"),
        (["--resume", "--overwrite"], "--resume, --overwrite: "),
        (["--eval-only", "--overwrite"], "--eval-only, --overwrite: "),
        (["SOLVER.IMS_PER_BATCH", "0"], "SOLVER.IMS_PER_BATCH: expected a positive multiple"),
        (["SOLVER.MAX_ITER", "0"], "SOLVER.MAX_ITER: expected at least 1, found 0"),
        (["SOLVER.LR_SCHEDULER_NAME", "Cosine"], "SOLVER.LR_SCHEDULER_NAME"),
        (["DATALOADER.SAMPLER_TRAIN", "Foo"], "DATALOADER.SAMPLER_TRAIN"),
        (["MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead", "MODEL.ROI_MASK_HEAD.TEMPERATURE", "0"], "TEMPERATURE"),
        (["TEST.EXPECTED_RESULTS", "[['box', 'AP', 38.5, 0.2]]"], "TEST.EXPECTED_RESULTS"),
        (["OUTPUT_DIR", ""], "OUTPUT_DIR"),
        (["OUTPUT_DIR", "setup.py/run"], "setup.py"),
        (["MODEL.WEIGHTS", "https://localhost:1/weights.pth"], "https://localhost:1/weights.pth"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_turns_end_at_once_and_write_nothing(config_file, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = files(config_file.parent)
    options = [a for a in arguments if a.startswith("--") or (a.isdigit() and "--num-gpus" in arguments)]
    overrides = [a for a in arguments if a not in options]
    assert main(["--config-file", str(config_file), *options, *overrides]) == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert message in error
    assert "Traceback" not in error
    assert files(config_file.parent) == before


def test_a_head_of_ones_own_that_ignores_the_loss_is_refused(config_file, capsys):
    class OwnPlainROIHeads(StandardROIHeads):
        pass

    ROI_HEADS_REGISTRY.register(OwnPlainROIHeads)
    try:
        own = ["MODEL.ROI_HEADS.NAME", "OwnPlainROIHeads"]
        ignored = ["MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE", "10.0"]
        assert main(["--config-file", str(config_file), *own, *ignored]) == 2
        assert "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR: " in capsys.readouterr().err
        assert main(["--config-file", str(config_file), *own, "SOLVER.MAX_ITER", "1"]) == 0
    finally:
        ROI_HEADS_REGISTRY._obj_map.pop("OwnPlainROIHeads")


def test_no_config_is_told_beside_what_follows_from_it(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["SOLVER.MAX_ITER", "1"]) == 2
    err = capsys.readouterr().err
    assert "MODEL.DEVICE is 'cuda'" in err
    assert "--config-file" in err
