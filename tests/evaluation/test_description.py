"""Test the settings of a model that evaluation.json contains."""

import pytest

from seesaw_d2.evaluation.description import model_settings
from seesaw_d2.train import load_config

KEYS = {"ROI_HEADS": 0.25, "RETINANET": 0.125}


@pytest.mark.parametrize(
    ("architecture", "node"),
    [
        ("GeneralizedRCNN", "ROI_HEADS"),
        ("PanopticFPN", "ROI_HEADS"),
        ("LongTailRetinaNet", "RETINANET"),
        ("LongTailFCOS", "RETINANET"),
        ("of another project", "ROI_HEADS"),
    ],
)
def test_the_score_threshold_is_that_of_the_model(architecture, node):
    words = [word for name, value in KEYS.items() for word in (f"MODEL.{name}.SCORE_THRESH_TEST", str(value))]
    cfg = load_config("", [*words, "TEST.DETECTIONS_PER_IMAGE", "7"])
    cfg.MODEL.META_ARCHITECTURE = architecture
    found = model_settings(cfg)
    assert (found["score threshold"], found["detections kept in an image"]) == (KEYS[node], 7)
