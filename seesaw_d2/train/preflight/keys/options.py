"""Conditions of keys that belong to an option: a switch, a name or an alternative key."""

from collections.abc import Iterator
from typing import Any

from seesaw_d2.config.loading import read_value
from seesaw_d2.train.preflight.keys.need import Need
from seesaw_d2.utils.declared_keys import covered

_BOX_HEAD = "MODEL.ROI_BOX_HEAD"
_PCB, _LDAM = f"{_BOX_HEAD}.CLS_LOSS.PCB", f"{_BOX_HEAD}.CLS_LOSS.LDAM"
_CALIBRATION = "MODEL.ROI_HEADS.CALIBRATION"
_STEPS = ("WarmupMultiStepLR",)


def _is(key: str, *values: Any, beside: bool = False) -> Need:
    return Need(key, " or ".join(map(str, values)), lambda cfg: read_value(cfg, key) in values, beside=beside)


def _above(key: str, minimum: float) -> Need:
    return Need(key, f"above {minimum:g}", lambda cfg: read_value(cfg, key) > minimum)


# Keys -> conditions, in addition to the components that declare the keys.
_KEYS: tuple[tuple[tuple[str, ...], tuple[Need, ...]], ...] = (
    (("MODEL.ROI_MASK_HEAD.*", "INPUT.MASK_FORMAT"), (_is("MODEL.MASK_ON", True),)),
    (("MODEL.ROI_KEYPOINT_HEAD.*", "TEST.KEYPOINT_OKS_SIGMAS"), (_is("MODEL.KEYPOINT_ON", True),)),
    ((f"{_BOX_HEAD}.CLS_PREDICTOR.TEMPERATURE",), (_is(f"{_BOX_HEAD}.CLS_PREDICTOR.NAME", "NormedLinear"),)),
    ((f"{_BOX_HEAD}.CLS_LOSS.FEDERATED.PRIOR",), (_is(f"{_BOX_HEAD}.CLS_LOSS.BACKGROUND", "auto", "implicit"),)),
    (("MODEL.DOWNLOAD_*",), (Need("MODEL.WEIGHTS", "an address", lambda cfg: "://" in cfg.MODEL.WEIGHTS),)),
    ((f"{_CALIBRATION}.GAMMA",), (_is(f"{_CALIBRATION}.NAME", "NorCal"),)),
    ((f"{_CALIBRATION}.TAU",), (_is(f"{_CALIBRATION}.NAME", "LogitAdjustment", "TauNormalization"),)),
    ((f"{_CALIBRATION}.LAMBDA",), (_is(f"{_CALIBRATION}.NAME", "FRACAL"),)),
    ((f"{_CALIBRATION}.COUNTS",), (_is(f"{_CALIBRATION}.NAME", "NorCal", "LogitAdjustment"),)),
    (("MODEL.RPN.*",), (_is("MODEL.PROPOSAL_GENERATOR.NAME", "RPN", "RRPN"),)),
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
    """Yield the options that a key needs. A switch does not depend on itself."""
    for patterns, needs in _KEYS:
        if covered(patterns, key):
            yield from (need for need in needs if need.key != key)
