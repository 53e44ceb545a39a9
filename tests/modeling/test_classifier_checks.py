"""Test the warning about a loss that assumes another temperature than that of the classifier."""

import pytest

from seesaw_d2.modeling.classifier_checks import check_classifier_config
from tests.modeling.tiny import tiny_config

BOX_HEAD = "MODEL.ROI_BOX_HEAD"
SCALE, TEMPERATURE = f"{BOX_HEAD}.CLS_LOSS.LDAM.SCALE", f"{BOX_HEAD}.CLS_PREDICTOR.TEMPERATURE"


def warned(caplog, *overrides) -> bool:
    caplog.clear()
    check_classifier_config(tiny_config(*overrides).MODEL.ROI_BOX_HEAD)
    return f"{SCALE}: expected 30, the value of {TEMPERATURE}, found 20" in caplog.text


@pytest.mark.parametrize(
    ("loss", "scale", "classifier", "expected"),
    [
        ("LDAMLoss", 20.0, "NormedLinear", True),
        ("LDAMLoss", 30.0, "NormedLinear", False),
        ("LDAMLoss", 20.0, "Linear", False),
        ("SeesawLoss", 20.0, "NormedLinear", False),
    ],
)
def test_the_margin_of_ldam_needs_the_temperature(caplog, loss, scale, classifier, expected):
    names = (f"{BOX_HEAD}.CLS_LOSS.NAME", loss, f"{BOX_HEAD}.CLS_PREDICTOR.NAME", classifier)
    assert warned(caplog, *names, SCALE, scale, TEMPERATURE, 30.0) is expected
