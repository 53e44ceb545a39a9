"""Configs: all keys are known, all mistakes are named."""

from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from seesaw_d2 import add_seesaw_config
from seesaw_d2.config.loading import config_keys
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.modeling.calibration import CALIBRATION_REGISTRY
from seesaw_d2.train import Trainer, load_config
from seesaw_d2.train.preflight.config_checks import check_names
from seesaw_d2.train.preflight.job_checks import Preflight

ROOT = Path(__file__).parents[2]
YAMLS = sorted(ROOT.glob("configs/**/*.yaml"))


def added_keys():
    from detectron2.config import get_cfg

    plain, ours = get_cfg(), get_cfg()
    add_seesaw_config(ours)
    nodes = {key for key in config_keys(ours) if any(other.startswith(key + ".") for other in config_keys(ours))}
    return sorted(set(config_keys(ours)) - set(config_keys(plain)) - nodes)


def test_the_list_of_keys():
    """A new key must be added here and in docs/config.md."""
    assert added_keys() == sorted(
        [
            "DATALOADER.REPEAT_FREQUENCY",
            "DATALOADER.REPEAT_ROUNDING",
            "DATALOADER.SKIP_BAD_IMAGES",
            "DATASETS.FREQUENCY_THRESHOLDS",
            "DATASETS.REGISTER",
            "INPUT.CLASSIFICATION.COLOR_JITTER",
            "INPUT.CLASSIFICATION.CROP",
            "INPUT.CLASSIFICATION.SIZE",
            "INPUT.COPY_PASTE.ENABLED",
            "INPUT.COPY_PASTE.THRESHOLD",
            "INPUT.RESIZE",
            "MODEL.CLASSIFIER.BACKBONE",
            "MODEL.CLASSIFIER.NUM_CLASSES",
            "MODEL.FREEZE.EXCEPT",
            "MODEL.FREEZE.NAMES",
            "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE",
            "MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE",
            "MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS",
            "MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.BAGS.BETA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.BAGS.BINS",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.CLASS_BALANCED_FOCAL.BETA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.CLASS_BALANCED_FOCAL.GAMMA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.CLASS_BALANCED_FOCAL.PRIOR",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.EQL.LAMBDA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.EQL.PRIOR",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.ECM.BACKGROUND_RATIO",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.ECM.PRIOR",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.GOL.WEIGHTING",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.GOL.LAMBDA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.GOL.ACTIVATION",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.GOL.PRIOR",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LOGIT_ADJUSTED.TAU",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.IIF.LINK",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.IIF.COUNTS",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LOCE.ALPHA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LOCE.BACKGROUND_SCORE",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.MAX_MARGIN",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.SCALE",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.BETA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_ITER",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_EPOCH",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.EQL_V2.ALPHA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.EQL_V2.GAMMA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.EQL_V2.MU",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.EQL_V2.PRIOR",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.FEDERATED.NUM_SAMPLED",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.FEDERATED.POWER",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.FEDERATED.PRIOR",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.FOCAL.ALPHA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.FOCAL.GAMMA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.FOCAL.PRIOR",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.ALPHA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.LOSS",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.MAX_MATRIX_MB",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.MOMENTUM",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_EPOCH",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.UNSEEN",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.EPS",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.Q",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.SOFTMAX_EQL.GAMMA",
            "MODEL.ROI_BOX_HEAD.CLS_LOSS.SOFTMAX_EQL.LAMBDA",
            "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME",
            "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE",
            "MODEL.ROI_HEADS.CALIBRATION.COUNTS",
            "MODEL.ROI_HEADS.CALIBRATION.FRACAL.FREQUENCY",
            "MODEL.ROI_HEADS.CALIBRATION.FRACAL.LINK",
            "MODEL.ROI_HEADS.CALIBRATION.FRACAL.NUM_IMAGES",
            "MODEL.ROI_HEADS.CALIBRATION.GAMMA",
            "MODEL.ROI_HEADS.CALIBRATION.LAMBDA",
            "MODEL.ROI_HEADS.CALIBRATION.NAME",
            "MODEL.ROI_HEADS.CALIBRATION.NORCAL.BETA",
            "MODEL.ROI_HEADS.CALIBRATION.NORCAL.FACTOR",
            "MODEL.ROI_HEADS.CALIBRATION.NORCAL.NORMALIZE",
            "MODEL.ROI_HEADS.CALIBRATION.NORCAL.SCALED",
            "MODEL.ROI_HEADS.CALIBRATION.TAU",
            "MODEL.ROI_ITERATIVE_HEAD.FC_DIM",
            "MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM",
            "MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS",
            "MODEL.ROI_ITERATIVE_HEAD.NUM_FC",
            "MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS",
            "MODEL.ROI_MASK_HEAD.PER_STAGE",
            "MODEL.ROI_MASK_HEAD.TEMPERATURE",
            "MODEL.SMALL_RESNET.BLOCKS",
            "MODEL.SMALL_RESNET.WIDTHS",
            "LOGGING.WANDB_PROJECT",
            "TEST.CLASSIFICATION_ACCURACY",
            "TEST.LVIS_ENGINE",
            "TEST.LVIS_METRICS",
            "MODEL.WEIGHTS_EXCEPT",
            "MODEL.DOWNLOAD_TIMEOUT",
            "MODEL.DOWNLOAD_TIME_LIMIT",
            "DATALOADER.PIN_MEMORY",
            "MODEL.CHANNELS_LAST",
            "MODEL.COMPILE",
            "MODEL.ROI_ALIGN_GRADIENT",
            "SOLVER.AMP.DTYPE",
            "SOLVER.METRICS_PERIOD",
            "SOLVER.OPTIMIZER_IMPLEMENTATION",
            "SOLVER.TF32",
            "SOLVER.CHECKPOINT_BEST",
            "SOLVER.CHECKPOINT_KEEP",
            "SOLVER.COLLECTIVE_TIMEOUT",
            "SOLVER.EPOCHS",
            "SOLVER.MAX_SKIPPED_STEPS",
            "SOLVER.REFERENCE_BATCH_SIZE",
            "SOLVER.STEP_EPOCHS",
        ]
    )


@pytest.mark.parametrize("key", added_keys())
def test_each_key_is_described(key):
    assert f"`{key}`" in (ROOT / "docs/config.md").read_text()


MASK = ["MODEL.ROI_HEADS.NAME", "SeesawROIHeads"]
LINEAR = [*MASK, "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"]
ITERATIVE = ["MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", False]
# Between them these jobs use everything that this project adds.
JOBS = [
    ["MODEL.ROI_HEADS.NAME", "SeesawCascadeROIHeads", "MODEL.RPN.POST_NMS_TOPK_TRAIN", 2000],
    [*ITERATIVE, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance"],
    *(
        [*MASK, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", name]
        for name, loss in LOSS_REGISTRY
        if loss.backgrounds != ("none",)
    ),
    *([*LINEAR, "MODEL.ROI_HEADS.CALIBRATION.NAME", name] for name, _ in CALIBRATION_REGISTRY),
]


def test_each_key_is_read(config_file, monkeypatch):
    """The preflight and the builders of both tasks read all keys of this project."""
    common = ["MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead", "SOLVER.EPOCHS", 1.0]
    common += ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "INPUT.MASK_FORMAT", "bitmask"]
    common += ["INPUT.COPY_PASTE.ENABLED", True, "INPUT.COPY_PASTE.THRESHOLD", 1.0]
    digits = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(config_file.parent / "digits")]
    configs = [load_config(str(config_file), [*common, *job]) for job in JOBS]
    configs += [load_config(str(ROOT / f"configs/digits/{name}.yaml"), digits) for name in ("seesaw", "eql")]
    paths, read = {}, set()
    plain = CfgNode.__getattr__

    def traced(node, name):
        if id(node) in paths:
            read.add(paths[id(node)] + name)
        return plain(node, name)

    monkeypatch.setattr(CfgNode, "__getattr__", traced)
    for cfg in configs:
        paths = {id(cfg): ""}
        for key in config_keys(cfg):
            node = cfg
            for part in key.split("."):
                node = node[part]
            paths[id(node)] = key + "."
        Preflight(cfg).job()
        Trainer.build_model(cfg)
        Trainer.build_train_loader(cfg)
    assert set(added_keys()) <= read


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_yaml_builds(path):
    cfg = load_config(str(path), ["MODEL.DEVICE", "meta"])
    check_names(cfg)
    with torch.device("meta"):  # without allocating and drawing its parameters
        assert build_model(cfg) is not None
