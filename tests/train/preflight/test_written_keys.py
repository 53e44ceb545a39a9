"""Test that keys in the user's files and overrides are read, or raise an error with their name."""

import os
from pathlib import Path

import detectron2
import pytest
import yaml

from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.job_checks import check_names
from seesaw_d2.train.preflight.keys import check_written, written_layers

ROOT = Path(__file__).parents[3]
GLYPHS = str(ROOT / "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml")
CASCADE = str(ROOT / "configs/quickstart/cascade_mask_rcnn_glyphs_seesaw.yaml")
LVIS = str(ROOT / "configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml")
NORMED_MASK = str(ROOT / "configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_normmask_2x.yaml")
PCB = str(ROOT / "configs/pcb/mask_rcnn_R_50_FPN_rfs_seesaw_normmask_pcb_2x.yaml")
DIGITS = str(ROOT / "configs/digits/seesaw.yaml")
ZOO = Path(detectron2.__file__).parent / "model_zoo/configs"

ARCHITECTURE, HEADS, MASK_HEAD = "MODEL.META_ARCHITECTURE", "MODEL.ROI_HEADS.NAME", "MODEL.ROI_MASK_HEAD"
LOSS, PREDICTOR = "MODEL.ROI_BOX_HEAD.CLS_LOSS", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR"


def check(path, *overrides):
    check_written(load_config(str(path), overrides), written_layers(str(path), overrides))


def write(folder, name, base=None, **values):
    """Write a YAML file with nested keys, which are given as NODE__KEY."""
    content: dict = {} if base is None else {"_BASE_": str(base)}
    for key, value in values.items():
        *nodes, leaf = key.split("__")
        node = content
        for part in nodes:
            node = node.setdefault(part, {})
        node[leaf] = value
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


UNREAD = [
    (GLYPHS, (HEADS, "StandardROIHeads"), f"{LOSS}.NAME"),
    (GLYPHS, (HEADS, "StandardROIHeads", f"{LOSS}.NAME", "SeesawLoss"), f"{LOSS}.NAME"),
    (GLYPHS, (HEADS, "StandardROIHeads", f"{PREDICTOR}.NAME", "NormedLinear"), f"{PREDICTOR}.NAME"),
    (GLYPHS, (f"{LOSS}.EQL.LAMBDA", 1.77e-3), f"{LOSS}.EQL.LAMBDA"),
    (GLYPHS, (f"{LOSS}.NAME", "FocalLoss", f"{LOSS}.SEESAW.P", 0.8), f"{LOSS}.SEESAW.P"),
    (GLYPHS, (f"{LOSS}.PCB.LOSS", "SeesawLoss"), f"{LOSS}.PCB.LOSS"),
    (PCB, (f"{LOSS}.EQL_V2.GAMMA", 12.0), f"{LOSS}.EQL_V2.GAMMA"),
    (PCB, (f"{LOSS}.PCB.START_ITER", 100), f"{LOSS}.PCB.START_ITER"),
    (
        GLYPHS,
        (f"{LOSS}.NAME", "LDAMLoss", f"{LOSS}.LDAM.BETA", 0.0, f"{LOSS}.LDAM.START_ITER", 100),
        f"{LOSS}.LDAM.START_ITER",
    ),
    (
        GLYPHS,
        (f"{LOSS}.NAME", "GumbelOptimizedLoss", f"{LOSS}.GOL.WEIGHTING", "none", f"{LOSS}.GOL.LAMBDA", 1.1e-3),
        f"{LOSS}.GOL.LAMBDA",
    ),
    (PCB, (HEADS, "SeesawROIHeads", "MODEL.ROI_ITERATIVE_HEAD.NUM_FC", 2), "MODEL.ROI_ITERATIVE_HEAD.NUM_FC"),
    (
        GLYPHS,
        (f"{LOSS}.NAME", "FederatedLoss", f"{LOSS}.BACKGROUND", "class", f"{LOSS}.FEDERATED.PRIOR", 0.01),
        f"{LOSS}.FEDERATED.PRIOR",
    ),
    (GLYPHS, (f"{PREDICTOR}.NAME", "Linear", f"{PREDICTOR}.TEMPERATURE", 20.0), f"{PREDICTOR}.TEMPERATURE"),
    (GLYPHS, (f"{MASK_HEAD}.PER_STAGE", False), f"{MASK_HEAD}.PER_STAGE"),
    (CASCADE, ("MODEL.MASK_ON", False, f"{MASK_HEAD}.PER_STAGE", True), f"{MASK_HEAD}.PER_STAGE"),
    (GLYPHS, (f"{MASK_HEAD}.TEMPERATURE", 20.0), f"{MASK_HEAD}.TEMPERATURE"),
    (GLYPHS, ("MODEL.MASK_ON", False, f"{MASK_HEAD}.NAME", "NormedMaskHead"), f"{MASK_HEAD}.NAME"),
    (GLYPHS, ("MODEL.ROI_BOX_CASCADE_HEAD.IOUS", "(0.5, 0.6, 0.7)"), "MODEL.ROI_BOX_CASCADE_HEAD.IOUS"),
    (GLYPHS, (ARCHITECTURE, "RetinaNet"), HEADS),
    (GLYPHS, (ARCHITECTURE, "ProposalNetwork"), f"{LOSS}.NAME"),
    ("", (ARCHITECTURE, "ProposalNetwork", HEADS, "SeesawROIHeads"), HEADS),
    (GLYPHS, ("MODEL.RETINANET.NUM_CLASSES", 3), "MODEL.RETINANET.NUM_CLASSES"),
    (DIGITS, ("MODEL.ROI_HEADS.NUM_CLASSES", 10), "MODEL.ROI_HEADS.NUM_CLASSES"),
    (DIGITS, ("INPUT.RESIZE", "opencv"), "INPUT.RESIZE"),
    (DIGITS, ("MODEL.MASK_ON", True), "MODEL.MASK_ON"),
    ("", (ARCHITECTURE, "RetinaNet", "MODEL.KEYPOINT_ON", True), "MODEL.KEYPOINT_ON"),
    (GLYPHS, ("MODEL.CLASSIFIER.NUM_CLASSES", 10), "MODEL.CLASSIFIER.NUM_CLASSES"),
    (GLYPHS, ("INPUT.CLASSIFICATION.SIZE", 224), "INPUT.CLASSIFICATION.SIZE"),
    (LVIS, ("MODEL.SMALL_RESNET.BLOCKS", 2), "MODEL.SMALL_RESNET.BLOCKS"),
    (GLYPHS, ("MODEL.RESNETS.DEPTH", 101), "MODEL.RESNETS.DEPTH"),
    (GLYPHS, ("DATALOADER.REPEAT_THRESHOLD", 0.001), "DATALOADER.REPEAT_THRESHOLD"),
    (GLYPHS, ("DATALOADER.REPEAT_ROUNDING", "stochastic"), "DATALOADER.REPEAT_ROUNDING"),
    (GLYPHS, ("DATALOADER.REPEAT_FREQUENCY", "instances"), "DATALOADER.REPEAT_FREQUENCY"),
    (GLYPHS, ("INPUT.COPY_PASTE.THRESHOLD", 0.1), "INPUT.COPY_PASTE.THRESHOLD"),
    (GLYPHS, ("MODEL.MASK_ON", False, "INPUT.COPY_PASTE.ENABLED", True), "INPUT.COPY_PASTE.ENABLED"),
    (LVIS, ("SOLVER.MAX_ITER", 100), "SOLVER.MAX_ITER"),
    (LVIS, ("SOLVER.EPOCHS", 2, "SOLVER.STEPS", "(100,)"), "SOLVER.STEPS"),
    (GLYPHS, ("SOLVER.STEP_EPOCHS", "[1]"), "SOLVER.STEP_EPOCHS"),
    (DIGITS, ("SOLVER.GAMMA", 0.1), "SOLVER.GAMMA"),
    (GLYPHS, ("SOLVER.AMP.DTYPE", "float16"), "SOLVER.AMP.DTYPE"),
    (LVIS, ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 1.0), "SOLVER.CLIP_GRADIENTS.CLIP_VALUE"),
    (GLYPHS, ("INPUT.CROP.SIZE", "[0.5, 0.5]"), "INPUT.CROP.SIZE"),
    (GLYPHS, ("TEST.AUG.FLIP", True), "TEST.AUG.FLIP"),
    (DIGITS, ("VIS_PERIOD", 10), "VIS_PERIOD"),
    (DIGITS, ("MODEL.LOAD_PROPOSALS", True), "MODEL.LOAD_PROPOSALS"),
]


@pytest.mark.parametrize(("path", "overrides", "key"), UNREAD, ids=str)
def test_a_key_that_nothing_reads(path, overrides, key):
    with pytest.raises(ConfigError) as refused:
        check(path, *overrides)
    assert key in str(refused.value)


READ = [
    (GLYPHS, (f"{LOSS}.NAME", "CrossEntropyLoss")),
    (GLYPHS, (f"{LOSS}.NAME", "PairwiseClassBalance", f"{LOSS}.SEESAW.P", 0.8, f"{LOSS}.PCB.START_ITER", 9)),
    (LVIS, ("DATALOADER.SAMPLER_TRAIN", "TrainingSampler")),
    (LVIS, ("SOLVER.EPOCHS", 0, "SOLVER.MAX_ITER", 100, "SOLVER.STEPS", "(50,)")),
    (GLYPHS, ("SOLVER.EPOCHS", 2)),
    (GLYPHS, ("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR")),
    (DIGITS, ("MODEL.MASK_ON", False, "TEST.CLASSIFICATION_ACCURACY", False)),
    (DIGITS, ("SOLVER.EPOCHS", 0, "SOLVER.STEP_EPOCHS", "[]")),
    (NORMED_MASK, ("MODEL.MASK_ON", False)),
    (CASCADE, ("MODEL.MASK_ON", False)),
    (GLYPHS, ("SOLVER.TF32", "all", "DATALOADER.PIN_MEMORY", True)),
    ("", ("SOLVER.MAX_ITER", 5)),
]


@pytest.mark.parametrize(("path", "overrides"), READ, ids=str)
def test_a_choice_can_be_replaced(path, overrides):
    check(path, *overrides)


def test_all_are_named_with_file_and_reader(tmp_path):
    path = write(tmp_path, "mine.yaml", GLYPHS, MODEL__ROI_ITERATIVE_HEAD__NUM_FC=2, SOLVER__STEP_EPOCHS=[1.0])
    with pytest.raises(ConfigError) as refused:
        check(path, "DATALOADER.REPEAT_THRESHOLD", 0.1)
    for part in ("NUM_FC", "IterativeROIHeads", "STEP_EPOCHS", "REPEAT_THRESHOLD", "RepeatFactorTrainingSampler"):
        assert part in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("derived", [CASCADE, str(ZOO / "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml")])
@pytest.mark.parametrize("heads", ["SeesawROIHeads", "IterativeROIHeads", "StandardROIHeads"])
def test_a_cascade_stays_a_cascade(tmp_path, derived, heads):
    mine = write(tmp_path, "mine.yaml", derived, MODEL__ROI_HEADS__NAME=heads)
    for path, overrides in ((mine, ()), (derived, (HEADS, heads))):
        with pytest.raises(ConfigError) as refused:
            check(path, *overrides)
        assert heads in str(refused.value)
        assert "CascadeROIHeads" in str(refused.value)


@pytest.mark.parametrize("name", ["EQL.LAMBDA", "PCB.ALPHA"])
def test_a_base_too_must_be_read(tmp_path, name):
    node, key = name.split(".")
    base = write(tmp_path, "shared.yaml", GLYPHS, **{f"MODEL__ROI_BOX_HEAD__CLS_LOSS__{node}__{key}": 0.1})
    with pytest.raises(ConfigError) as refused:
        check(write(tmp_path, "mine.yaml", base, SOLVER__BASE_LR=0.1))
    assert f"{LOSS}.{name}" in str(refused.value)
    assert str(base) in str(refused.value)


def test_what_a_base_may_hold(tmp_path):
    loss = "MODEL__ROI_BOX_HEAD__CLS_LOSS"
    seesaw = write(tmp_path, "seesaw.yaml", GLYPHS, **{f"{loss}__SEESAW__P": 1.0})
    check(write(tmp_path, "ce.yaml", seesaw, **{f"{loss}__NAME": "CrossEntropyLoss"}))  # another loss is selected
    check(write(tmp_path, "epochs.yaml", GLYPHS, SOLVER__EPOCHS=2.0))  # overrides MAX_ITER and STEPS of the base
    preset = write(tmp_path, "preset.yaml", GLYPHS, DATALOADER__REPEAT_THRESHOLD=0.1)
    check(write(tmp_path, "uniform.yaml", preset))
    with pytest.raises(ConfigError, match=r"DATALOADER\.REPEAT_THRESHOLD"):
        check(preset)


def test_iterations_beside_epochs(tmp_path):
    """Test iterations beside epochs, for Detectron2's trainer. Without epochs in the same file, they are an error."""
    both = write(tmp_path, "both.yaml", GLYPHS, SOLVER__EPOCHS=2.0, SOLVER__MAX_ITER=6, SOLVER__STEPS=[4])
    check(both)
    with pytest.raises(ConfigError, match=r"SOLVER\.MAX_ITER"):
        check(write(tmp_path, "over.yaml", both, SOLVER__MAX_ITER=3))


@pytest.mark.parametrize("path", [GLYPHS, CASCADE, DIGITS, PCB], ids=os.path.basename)
def test_the_config_that_a_run_saves(tmp_path, path):
    saved = tmp_path / "config.yaml"
    saved.write_text(load_config(path).dump())
    check(saved)
    check(write(tmp_path, "derived.yaml", saved, SOLVER__BASE_LR=0.1), "SOLVER.BASE_LR", 0.2)
    with pytest.raises(ConfigError, match=r"INPUT\.CROP\.SIZE"):
        check(saved, "INPUT.CROP.SIZE", "[0.5, 0.5]")


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [(GLYPHS, HEADS, "StandardROIHeads"), (GLYPHS, ARCHITECTURE, "RetinaNet"), (CASCADE, HEADS, "SeesawROIHeads")],
)
def test_heads_of_a_saved_config_cannot_be_replaced(tmp_path, path, key, value):
    saved = tmp_path / "config.yaml"
    saved.write_text(load_config(path).dump())
    with pytest.raises(ConfigError, match=f"{key} "):
        check(saved, key, value)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (("MODEL.LOAD_PROPOSALS", True), "MODEL.LOAD_PROPOSALS"),
        (("MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"), "MODEL.LOAD_PROPOSALS"),
        (
            ("MODEL.LOAD_PROPOSALS", True, "MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"),
            "DATASETS.PROPOSAL_FILES_TRAIN",
        ),
    ],
)
def test_proposals_that_are_loaded_are_used(overrides, key):
    with pytest.raises(ConfigError, match=key):
        check_names(load_config(LVIS, overrides))
