"""Test calibrations with parameters whose factors exceed the range of float32."""

import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, FocalLoss, SeesawLoss
from seesaw_d2.losses.base import InvalidArgument
from seesaw_d2.modeling.calibration import FRACAL, LogitAdjustment, NorCal
from seesaw_d2.modeling.calibration.base import class_probabilities

COUNTS = torch.tensor([1, 10, 1000, 100_000, 1_270_000])
LOSSES = {
    "objectness": SeesawLoss(5),
    "class": CrossEntropyLoss(5, background="class"),
    "none": CrossEntropyLoss(5, background="none"),
    "implicit": FocalLoss(5, background="implicit"),
}


def expected(logits, loss, calibration):
    """Return the probabilities of the categories in float64, computed from logits to which log factors are added."""
    factors, categories = calibration.log_factors, logits[:, :5].double()
    if loss.background == "implicit":
        return (loss.probabilities(logits)[:, :5].double().logit() + factors).sigmoid()
    if loss.background == "objectness":
        return (categories + factors).softmax(dim=1) * logits[:, 5:].double().softmax(dim=1)[:, :1]
    if loss.background == "none":
        return (categories + factors).softmax(dim=1)
    if calibration.keeps_background:
        rest = 1 - logits.double().softmax(dim=1)[:, 5:]
        return (categories + factors).softmax(dim=1) * rest
    return torch.cat([categories + factors, logits[:, 5:].double()], dim=1).softmax(dim=1)[:, :5]


@pytest.mark.parametrize("background", LOSSES)
@pytest.mark.parametrize(
    "calibration",
    [
        *(LogitAdjustment(COUNTS, tau) for tau in (1.0, 8.0, 30.0)),
        *(NorCal(COUNTS, gamma) for gamma in (0.6, 9.0)),
        NorCal(COUNTS * 100_000, 9.0),
    ],
)
def test_probabilities_are_those_of_logits_in_float64(background, calibration):
    loss = LOSSES[background]
    logits = 4 * torch.randn(64, loss.num_logits, generator=torch.Generator().manual_seed(0))
    found = class_probabilities(logits, loss, calibration, torch.nn.Linear(2, loss.num_logits))[:, :5]
    torch.testing.assert_close(found.double(), expected(logits, loss, calibration), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("image_count", NorCal),
        ("instance_count", lambda counts: LogitAdjustment(counts, 1.0)),
        ("image_count", lambda counts: FRACAL(counts, 100, torch.ones(3), 1.0)),
    ],
)
def test_shares_are_no_counts(name, make):
    with pytest.raises(InvalidArgument, match=rf"^{name}: .*found 0\.7 for category 0"):
        make(torch.tensor([0.7, 0.2, 0.1]))
