"""Test that LogitAdjustedLoss equals the paper's equation, cross-entropy (τ = 0), and Balanced Softmax (τ = 1)."""

import pytest
import torch

from seesaw_d2.losses import BalancedSoftmaxLoss, CrossEntropyLoss, LogitAdjustedLoss
from tests.losses.batches import gradient, random_batch
from tests.reference.logit_adjusted import logit_adjusted

C, COUNTS = 4, [1, 10, 100, 1000]


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("background", ["objectness", "none"])
def test_the_papers_equation(background, tau):
    loss = LogitAdjustedLoss(C, instance_counts=COUNTS, tau=tau, background=background)
    logits, labels = random_batch(loss.num_logits, C)
    if background == "none":
        labels = labels % C
    rows = zip(logits[:, :C].tolist(), labels.tolist(), strict=True)
    expected = sum(logit_adjusted(z, label, COUNTS, tau) for z, label in rows if label < C) / len(labels)
    assert next(iter(loss(logits, labels).values())).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("tau", "other"),
    [(0, CrossEntropyLoss(C, background="objectness")), (1, BalancedSoftmaxLoss(C, instance_counts=COUNTS))],
)
def test_special_cases(tau, other):
    loss = LogitAdjustedLoss(C, instance_counts=COUNTS, tau=tau)
    logits, labels = random_batch(loss.num_logits, C)
    torch.testing.assert_close(loss(logits, labels), other(logits, labels))
    torch.testing.assert_close(gradient(loss(logits, labels), logits), gradient(other(logits, labels), logits))
    assert torch.equal(loss.probabilities(logits), other.probabilities(logits))


@pytest.mark.parametrize("tau", [-0.1, float("nan"), "much"])
def test_tau_is_checked(tau):
    with pytest.raises(ValueError, match=f"tau: .*{tau}"):
        LogitAdjustedLoss(C, instance_counts=COUNTS, tau=tau)
