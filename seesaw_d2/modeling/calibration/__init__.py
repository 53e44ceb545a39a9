"""Rescale the class probabilities of a trained model, usually to favor rare categories (post-hoc calibration)."""

from seesaw_d2.modeling.calibration.base import Calibration, scale_categories, scale_odds
from seesaw_d2.modeling.calibration.build import CALIBRATION_REGISTRY, build_calibration, calibration_for
from seesaw_d2.modeling.calibration.fracal import FRACAL
from seesaw_d2.modeling.calibration.logit_adjustment import LogitAdjustment
from seesaw_d2.modeling.calibration.norcal import NorCal
from seesaw_d2.modeling.calibration.tau_normalization import TauNormalization

__all__ = [
    "CALIBRATION_REGISTRY",
    "FRACAL",
    "Calibration",
    "LogitAdjustment",
    "NorCal",
    "TauNormalization",
    "build_calibration",
    "calibration_for",
    "scale_categories",
    "scale_odds",
]
