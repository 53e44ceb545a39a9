"""Define which config keys the program reads only if another key has a certain value, such as ENABLED True."""

from collections.abc import Iterator
from typing import Any

from seesaw_d2.config.loading import read_value
from seesaw_d2.train.preflight.keys.components import has_heads
from seesaw_d2.train.preflight.keys.need import Need
from seesaw_d2.utils.declared_keys import covered

_BOX_HEAD = "MODEL.ROI_BOX_HEAD"
_PCB, _LDAM = f"{_BOX_HEAD}.CLS_LOSS.PCB", f"{_BOX_HEAD}.CLS_LOSS.LDAM"
_CALIBRATION = "MODEL.ROI_HEADS.CALIBRATION"
_NORCAL, _FRACAL = f"{_CALIBRATION}.NORCAL", f"{_CALIBRATION}.FRACAL"
_STEPS = ("WarmupMultiStepLR",)


def _is(key: str, *values: Any, beside: bool = False) -> Need:
    return Need(key, " or ".join(map(str, values)), lambda cfg: read_value(cfg, key) in values, beside=beside)


def _above(key: str, minimum: float) -> Need:
    return Need(key, f"above {minimum:g}", lambda cfg: read_value(cfg, key) > minimum)


_PROPOSES = Need(
    "MODEL.PROPOSAL_GENERATOR.NAME",
    "a generator such as RPN",
    lambda cfg: cfg.MODEL.PROPOSAL_GENERATOR.NAME != "PrecomputedProposals" or not has_heads(cfg),
)
_COUNTS_TABLE = Need(
    f"{_CALIBRATION}.COUNTS", "a CSV file", lambda cfg: cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS.endswith(".csv")
)
_HAS_LINK = Need(
    f"{_FRACAL}.LINK", "other than none", lambda cfg: cfg.MODEL.ROI_HEADS.CALIBRATION.FRACAL.LINK != "none"
)
# C4 heads do not read these keys. They compute boxes and masks from res5, the last stage of the ResNet.
_OF_BOX_HEADS = (
    *(f"{_BOX_HEAD}.{name}" for name in ("NUM_FC", "FC_DIM", "NUM_CONV", "CONV_DIM", "NORM", "TRAIN_ON_PRED_BOXES")),
    *(f"MODEL.ROI_MASK_HEAD.POOLER_{name}" for name in ("RESOLUTION", "SAMPLING_RATIO")),
)
# Each pair contains patterns of keys, and the conditions under which the program reads these keys. All conditions must
# be met. The module ``components`` defines further conditions.
_KEYS: tuple[tuple[tuple[str, ...], tuple[Need, ...]], ...] = (
    (("MODEL.ROI_MASK_HEAD.*", "INPUT.MASK_FORMAT"), (_is("MODEL.MASK_ON", True),)),
    (("MODEL.ROI_KEYPOINT_HEAD.*", "TEST.KEYPOINT_OKS_SIGMAS"), (_is("MODEL.KEYPOINT_ON", True),)),
    ((f"{_BOX_HEAD}.CLS_PREDICTOR.TEMPERATURE",), (_is(f"{_BOX_HEAD}.CLS_PREDICTOR.NAME", "NormedLinear"),)),
    ((f"{_BOX_HEAD}.CLS_LOSS.FEDERATED.PRIOR",), (_is(f"{_BOX_HEAD}.CLS_LOSS.BACKGROUND", "auto", "implicit"),)),
    (
        (f"{_BOX_HEAD}.CLS_LOSS.LOCE.BACKGROUND_SCORE",),
        (
            _is(f"{_BOX_HEAD}.CLS_LOSS.BACKGROUND", "auto", "class"),
            Need("MODEL.META_ARCHITECTURE", "a model with ROI heads", has_heads),
        ),
    ),
    (("MODEL.DOWNLOAD_*",), (Need("MODEL.WEIGHTS", "an address", lambda cfg: "://" in cfg.MODEL.WEIGHTS),)),
    ((f"{_CALIBRATION}.GAMMA", f"{_NORCAL}.*"), (_is(f"{_CALIBRATION}.NAME", "NorCal"),)),
    ((f"{_CALIBRATION}.GAMMA",), (_is(f"{_NORCAL}.FACTOR", "power"),)),
    ((f"{_NORCAL}.BETA",), (_is(f"{_NORCAL}.FACTOR", "effective_number"),)),
    ((f"{_NORCAL}.NORMALIZE",), (_is(f"{_NORCAL}.SCALED", "probabilities"),)),
    ((f"{_CALIBRATION}.TAU",), (_is(f"{_CALIBRATION}.NAME", "LogitAdjustment", "TauNormalization"),)),
    ((f"{_CALIBRATION}.LAMBDA", f"{_FRACAL}.*"), (_is(f"{_CALIBRATION}.NAME", "FRACAL"),)),
    ((f"{_CALIBRATION}.COUNTS",), (_is(f"{_CALIBRATION}.NAME", "NorCal", "LogitAdjustment", "FRACAL"),)),
    ((f"{_FRACAL}.NUM_IMAGES",), (_COUNTS_TABLE, _is(f"{_FRACAL}.FREQUENCY", "images"), _HAS_LINK)),
    ((f"{_FRACAL}.FREQUENCY",), (_HAS_LINK,)),
    (("MODEL.RPN.*", "MODEL.ANCHOR_GENERATOR.*", "MODEL.PROPOSAL_GENERATOR.MIN_SIZE"), (_PROPOSES,)),
    (("MODEL.ANCHOR_GENERATOR.ANGLES",), (_is("MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),)),
    (_OF_BOX_HEADS, (Need(f"{_BOX_HEAD}.NAME", "a box head", lambda cfg: bool(cfg.MODEL.ROI_BOX_HEAD.NAME)),)),
    ((f"{_BOX_HEAD}.FED_LOSS_*",), (_is(f"{_BOX_HEAD}.USE_FED_LOSS", True),)),  # keys of Detectron2's main branch
    ((f"{_BOX_HEAD}.SMOOTH_L1_BETA",), (_is(f"{_BOX_HEAD}.BBOX_REG_LOSS_TYPE", "smooth_l1"),)),
    (("MODEL.RPN.SMOOTH_L1_BETA",), (_is("MODEL.RPN.BBOX_REG_LOSS_TYPE", "smooth_l1"),)),
    (("MODEL.RETINANET.SMOOTH_L1_LOSS_BETA",), (_is("MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "smooth_l1"),)),
    ((f"{_BOX_HEAD}.CLS_LOSS.GOL.LAMBDA",), (_is(f"{_BOX_HEAD}.CLS_LOSS.GOL.WEIGHTING", "drop", "eql"),)),
    ((f"{_PCB}.START_ITER",), (_is(f"{_PCB}.START_EPOCH", 0, beside=True),)),
    ((f"{_LDAM}.START_ITER",), (_is(f"{_LDAM}.START_EPOCH", 0, beside=True),)),
    ((f"{_LDAM}.START_*",), (_above(f"{_LDAM}.BETA", 0),)),
    (("DATASETS.PROPOSAL_FILES_*", "DATASETS.PRECOMPUTED_PROPOSAL_*"), (_is("MODEL.LOAD_PROPOSALS", True),)),
    (("INPUT.CROP.*",), (_is("INPUT.CROP.ENABLED", True),)),
    (("INPUT.COPY_PASTE.*",), (_is("MODEL.MASK_ON", True), _is("INPUT.COPY_PASTE.ENABLED", True))),
    (("TEST.AUG.*",), (_is("TEST.AUG.ENABLED", True),)),
    (("TEST.PRECISE_BN.*",), (_is("TEST.PRECISE_BN.ENABLED", True),)),
    (("SOLVER.AMP.*",), (_is("SOLVER.AMP.ENABLED", True),)),
    (("SOLVER.CLIP_GRADIENTS.*",), (_is("SOLVER.CLIP_GRADIENTS.ENABLED", True),)),
    (("SOLVER.CLIP_GRADIENTS.NORM_TYPE",), (_is("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm"),)),
    (("SOLVER.MAX_ITER",), (_is("SOLVER.EPOCHS", 0, beside=True),)),
    (("SOLVER.STEPS",), (_is("SOLVER.LR_SCHEDULER_NAME", *_STEPS), _is("SOLVER.EPOCHS", 0, beside=True))),
    (("SOLVER.STEP_EPOCHS",), (_above("SOLVER.EPOCHS", 0), _is("SOLVER.LR_SCHEDULER_NAME", *_STEPS))),
    # WarmupStepWithFixedGammaLR and its keys exist only in Detectron2's main branch.
    (("SOLVER.GAMMA",), (_is("SOLVER.LR_SCHEDULER_NAME", *_STEPS, "WarmupStepWithFixedGammaLR"),)),
    (("SOLVER.NUM_DECAYS",), (_is("SOLVER.LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR"),)),
    (("SOLVER.BASE_LR_END",), (_is("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR"),)),
)


def option_needs(key: str) -> Iterator[Need]:
    """Yield the conditions on other keys under which the program reads ``key``.

    For example, the program reads "INPUT.CROP.SIZE" only if INPUT.CROP.ENABLED is True. Patterns such as "INPUT.CROP.*"
    also match INPUT.CROP.ENABLED itself, for which this condition is omitted.
    """
    for patterns, needs in _KEYS:
        if covered(patterns, key):
            yield from (need for need in needs if need.key != key)
