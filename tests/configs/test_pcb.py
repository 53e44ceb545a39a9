"""Test that the PCB configs equal the published configs (github.com/megvii-research/PCB, configs/pcb), key by key."""

from pathlib import Path

import pytest

from seesaw_d2.train import load_config

ROOT = Path(__file__).parents[2]
NINE = [
    (50, *method, version)
    for version in ("v0.5", "v1")
    for method in (("random", "ce"), ("rfs", "ce"), ("random", "eqlv2"), ("rfs", "seesaw_normmask"))
] + [(101, "rfs", "seesaw_normmask", "v1")]
# Wrapped loss, alpha, classifier, and whether logits are normalized before they update the features.
METHODS = {
    "ce": ("CrossEntropyLoss", 0.4, "Linear", False),
    "eqlv2": ("EqualizationLossV2", 0.2, "Linear", True),
    "seesaw_normmask": ("SeesawLoss", 0.05, "NormedLinear", False),
}


def name_of(depth, sampler, method, version):
    return f"mask_rcnn_R_{depth}_FPN_{sampler}_{method}_pcb_2x" + ("_lvis_v0.5" if version == "v0.5" else "")


def test_there_are_nine():
    found = {path.stem for path in (ROOT / "configs/pcb").glob("*.yaml")}
    assert found == {name_of(*each) for each in NINE} | {"Base-PCB"}


@pytest.mark.parametrize("each", NINE, ids=lambda each: name_of(*each))
def test_a_published_setting(each):
    depth, sampler, method, version = each
    cfg = load_config(str(ROOT / "configs/pcb" / f"{name_of(*each)}.yaml"))
    box_head, node = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS
    wrapped, alpha, classifier, layer_norm = METHODS[method]
    assert (depth, f"torchvision://resnet{depth}") == (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.WEIGHTS)
    assert cfg.MODEL.ROI_HEADS.NAME == "IterativeROIHeads"
    assert (1230 if version == "v0.5" else 1203) == cfg.MODEL.ROI_HEADS.NUM_CLASSES
    assert (tuple(cfg.DATASETS.TRAIN), tuple(cfg.DATASETS.TEST)) == (
        (f"lvis_{version}_train",),
        (f"lvis_{version}_val",),
    )
    assert (cfg.DATALOADER.SAMPLER_TRAIN == "RepeatFactorTrainingSampler") == (sampler == "rfs")
    assert cfg.DATALOADER.REPEAT_THRESHOLD == 1e-3
    assert ("PairwiseClassBalance", wrapped, alpha) == (node.NAME, node.PCB.LOSS, node.PCB.ALPHA)
    assert (node.PCB.MOMENTUM, node.PCB.UNSEEN) == (0.99, "wait")
    assert node.PCB.START_EPOCH == 16  # the reference counts epochs from 1, and starts in epoch 17
    assert method != "eqlv2" or (node.EQL_V2.GAMMA, node.EQL_V2.MU, node.EQL_V2.ALPHA) == (12, 0.8, 4)
    assert classifier == box_head.CLS_PREDICTOR.NAME
    assert (box_head.NUM_FC, box_head.FC_DIM, box_head.POOLER_RESOLUTION) == (2, 1024, 7)
    assert not box_head.CLS_AGNOSTIC_BBOX_REG
    head = cfg.MODEL.ROI_ITERATIVE_HEAD
    assert (head.NUM_ITERATIONS, head.LOSS_WEIGHTS) == (3, [0.2, 0.2, 0.6])
    assert (2, 512, layer_norm) == (head.NUM_FC, head.FC_DIM, head.LAYER_NORM)
    normed = "NormedMaskHead" if method == "seesaw_normmask" else "SelectiveMaskHead"
    assert normed == cfg.MODEL.ROI_MASK_HEAD.NAME
    assert cfg.SOLVER.AMP.ENABLED
    assert (cfg.SOLVER.EPOCHS, list(cfg.SOLVER.STEP_EPOCHS)) == (24, [16, 22])
    assert cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 1e-4


@pytest.mark.parametrize("each", NINE, ids=lambda each: name_of(*each))
def test_the_model_zoo_has_it(each):
    assert f"(configs/pcb/{name_of(*each)}.yaml)" in (ROOT / "MODEL_ZOO.md").read_text()
