"""Test that the twelve configs of the model zoo equal the published recipe, key by key."""

from pathlib import Path

import pytest
import torch

from seesaw_d2.modeling.backbones.norm_eval_resnet import FixedStatisticsBatchNorm2d
from seesaw_d2.train import load_config

ROOT = Path(__file__).parents[2]
FRAMEWORKS = [("mask_rcnn", 50), ("mask_rcnn", 101), ("cascade_mask_rcnn", 101)]
TWELVE = [
    (framework, depth, sampler, normed)
    for framework, depth in FRAMEWORKS
    for sampler in ("random", "rfs")
    for normed in (False, True)
]

# Settings of all configs, from section 4.1 of the paper and from configs/seesaw_loss of MMDetection 3.3.0.
COMMON = {
    # schedule_2x.py
    "SOLVER.EPOCHS": 24,
    "SOLVER.STEP_EPOCHS": [16, 22],
    "SOLVER.IMS_PER_BATCH": 16,
    "SOLVER.BASE_LR": 0.02,
    "SOLVER.GAMMA": 0.1,
    "SOLVER.LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "SOLVER.WARMUP_METHOD": "linear",
    "SOLVER.WARMUP_ITERS": 500,
    "SOLVER.WARMUP_FACTOR": 0.001,
    "SOLVER.REFERENCE_BATCH_SIZE": 0,
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.NESTEROV": False,
    "SOLVER.WEIGHT_DECAY": 1e-4,
    "SOLVER.WEIGHT_DECAY_NORM": 1e-4,
    "SOLVER.WEIGHT_DECAY_BIAS": (None, 1e-4),
    "SOLVER.BIAS_LR_FACTOR": 1.0,
    "SOLVER.CLIP_GRADIENTS.ENABLED": False,
    "SOLVER.AMP.ENABLED": False,
    # data
    "DATASETS.TRAIN": ("lvis_v1_train",),
    "DATASETS.TEST": ("lvis_v1_val",),
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": True,
    "DATALOADER.ASPECT_RATIO_GROUPING": True,
    "DATALOADER.REPEAT_THRESHOLD": 1e-3,
    "DATALOADER.REPEAT_ROUNDING": "ceil",
    "INPUT.FORMAT": "RGB",
    "INPUT.MIN_SIZE_TRAIN": (640, 672, 704, 736, 768, 800),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": "choice",
    "INPUT.MAX_SIZE_TRAIN": 1333,
    "INPUT.MIN_SIZE_TEST": 800,
    "INPUT.MAX_SIZE_TEST": 1333,
    "INPUT.RANDOM_FLIP": "horizontal",
    "INPUT.CROP.ENABLED": False,
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    # backbone and neck
    "MODEL.BACKBONE.NAME": "build_norm_eval_resnet_fpn_backbone",
    "MODEL.BACKBONE.FREEZE_AT": 2,
    "MODEL.RESNETS.NORM": "BN",
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.FPN.NORM": "",
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    # proposals
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0.0,
    "MODEL.RPN.IOU_THRESHOLDS": [0.3, 0.7],
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 256,
    "MODEL.RPN.POSITIVE_FRACTION": 0.5,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 2000,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.RPN.NMS_THRESH": 0.7,
    "MODEL.RPN.BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0),
    # heads
    "MODEL.MASK_ON": True,
    "MODEL.ROI_HEADS.NUM_CLASSES": 1203,
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 512,
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": 0.25,
    "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": True,
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": [0.5],
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 1e-4,
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": 0.5,
    "TEST.DETECTIONS_PER_IMAGE": 300,
    "TEST.AUG.ENABLED": False,
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 1024,
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 0,
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 0,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": (10.0, 10.0, 5.0, 5.0),
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": "smooth_l1",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": "SeesawLoss",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND": "auto",  # with SeesawLoss: objectness
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P": 0.8,
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.Q": 2.0,
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.EPS": 1e-2,
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS": "online",
    "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME": "NormedLinear",
    "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE": 20.0,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 4,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 256,
    "MODEL.ROI_MASK_HEAD.NORM": "",
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
    "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 0,
    "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": False,
    "MODEL.ROI_MASK_HEAD.TEMPERATURE": 20.0,
}
# mask-rcnn_r50_fpn.py: L1 losses
MASK = {
    "MODEL.ROI_HEADS.NAME": "SeesawROIHeads",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1000,
    "MODEL.RPN.BOUNDARY_THRESH": -1,
    "MODEL.RPN.SMOOTH_L1_BETA": 0.0,
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.0,
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": False,
}
# cascade-mask-rcnn_r50_fpn.py
CASCADE = {
    "MODEL.ROI_HEADS.NAME": "SeesawCascadeROIHeads",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 2000,
    "MODEL.RPN.BOUNDARY_THRESH": 0,
    "MODEL.RPN.SMOOTH_L1_BETA": pytest.approx(1 / 9),
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 1.0,
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
    "MODEL.ROI_BOX_CASCADE_HEAD.IOUS": (0.5, 0.6, 0.7),
    "MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS": [1, 0.5, 0.25],
    "MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS": False,
    "MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE": True,
    "MODEL.ROI_MASK_HEAD.PER_STAGE": True,
}


def load(framework, depth, sampler, normed, *overrides):
    name = f"{framework}_R_{depth}_FPN_{sampler}_seesaw{'_normmask' if normed else ''}_2x.yaml"
    return load_config(str(ROOT / "configs/seesaw" / name), overrides)


def value(cfg, key):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


@pytest.mark.parametrize(("framework", "depth", "sampler", "normed"), TWELVE)
def test_the_published_recipe(framework, depth, sampler, normed):
    cfg = load(framework, depth, sampler, normed)
    expected = COMMON | (MASK if framework == "mask_rcnn" else CASCADE)
    expected |= {
        "MODEL.WEIGHTS": f"torchvision://resnet{depth}",
        "MODEL.RESNETS.DEPTH": depth,
        # Only "rfs" configs use repeat factor sampling. A "random" config trains on each image once per epoch.
        "DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler" if sampler == "rfs" else "TrainingSampler",
        "MODEL.ROI_MASK_HEAD.NAME": "NormedMaskHead" if normed else "SelectiveMaskHead",
    }
    found = {key: value(cfg, key) for key in expected}
    bias = expected.pop("SOLVER.WEIGHT_DECAY_BIAS")
    assert found.pop("SOLVER.WEIGHT_DECAY_BIAS") in bias  # None selects the weight decay of the weights
    assert found == expected


def test_third_stages_boxes_are_the_references():
    weights = load("cascade_mask_rcnn", 101, "rfs", True).MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS
    stds = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
    torch.testing.assert_close(torch.tensor(weights), 1 / torch.tensor(stds))


def test_nothing_else_is_in_the_folder():
    names = {path.name for path in (ROOT / "configs/seesaw").iterdir()}
    assert len(names) == len(TWELVE) == 12


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/**/*.yaml")), ids=lambda path: path.stem)
def test_random_is_random_and_the_output_is_the_configs_own(path):
    if path.name.startswith("Base"):
        return
    cfg = load_config(str(path))
    if "_random_" in path.name:
        assert cfg.DATALOADER.SAMPLER_TRAIN == "TrainingSampler"
    if "_rfs_" in path.name:
        assert cfg.DATALOADER.SAMPLER_TRAIN == "RepeatFactorTrainingSampler"
        assert cfg.DATALOADER.REPEAT_THRESHOLD == 1e-3
    if "_2x" in path.name:
        assert cfg.SOLVER.EPOCHS == 24
        assert f"output/{path.relative_to(ROOT / 'configs').with_suffix('')}" == cfg.OUTPUT_DIR
    assert {"lvis_v1_train": 1203, "lvis_v0.5_train": 1230}.get(
        cfg.DATASETS.TRAIN[0], cfg.MODEL.ROI_HEADS.NUM_CLASSES
    ) == cfg.MODEL.ROI_HEADS.NUM_CLASSES


def test_everything_that_is_trained_decays():
    """Test that biases and normalization have the same weight decay as weights, as in the reference."""
    from detectron2.modeling import build_model
    from detectron2.solver import build_optimizer

    cfg = load("mask_rcnn", 50, "random", True, "MODEL.DEVICE", "meta")
    with torch.device("meta"):
        model = build_model(cfg)
    optimizer = build_optimizer(cfg, model)
    assert {(group["lr"], group["weight_decay"]) for group in optimizer.param_groups} == {(0.02, 1e-4)}
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    norms = [module for module in model.modules() if isinstance(module, FixedStatisticsBatchNorm2d)]
    assert len(norms) == 3 * 13 + 3  # res3 to res5: 3 in each of 13 blocks, 1 in each shortcut
    assert all(id(norm.weight) in trained and id(norm.bias) in trained for norm in norms)
