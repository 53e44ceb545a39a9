"""Test FocalLoss and ClassBalancedFocalLoss: equations, numbers of the reference, γ = 0 and β = 0."""

import pytest
import torch
import torch.nn.functional as F

from seesaw_d2.losses import ClassBalancedFocalLoss, FocalLoss
from tests import golden
from tests.losses.batches import gradient, random_batch
from tests.reference.focal import class_balanced_weights, focal

C = 5
PRECISE = {"rtol": 1e-9, "atol": 0}
COUNTS = [1, 10, 100, 1000, 50000]


def binary_cross_entropy(logits, labels):
    targets = F.one_hot(labels, C + 1)[:, :C].double()
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("alpha", [0.25, None])
def test_the_papers_equation(gamma, alpha):
    logits, labels = random_batch(C, C)
    value = FocalLoss(C, gamma=gamma, alpha=alpha)(logits, labels)["loss_cls"]
    golden.assert_matches(
        value, focal(logits.tolist(), labels.tolist(), gamma, alpha, (labels < C).sum().item()), golden.EXACT
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, golden.EXACT), (torch.float32, golden.SINGLE)], ids=["f64", "f32"]
)
def test_the_references_numbers(dtype, tolerance):
    arrays = golden.load("focal_C6")
    loss = FocalLoss(6, gamma=float(arrays["cfg_gamma"]), alpha=float(arrays["cfg_alpha"]))
    for call in golden.calls(arrays):
        logits = call.tensor("logits", dtype).requires_grad_()
        # mmdet 3.3.0 adds the epsilon of float32 to avg_factor.
        avg_factor = call.avg_factor + torch.finfo(torch.float32).eps
        losses = loss(logits, call.tensor("labels", torch.int64), call.tensor("weights", dtype), avg_factor)
        golden.assert_matches(losses["loss_cls"], call["out_loss_cls"], tolerance)
        golden.assert_matches(gradient(losses, logits), call["grad_total"], tolerance)


def test_the_average_is_over_the_foreground_and_the_references_over_all():
    """Test a difference from mmdet's box heads: the average is over foreground, as in the paper."""
    logits, labels = random_batch(C, C)
    weights = torch.ones(len(labels), dtype=torch.float64)
    weights[0] = 0
    loss = FocalLoss(C)
    foreground = int((labels < C).sum())
    assert 0 < foreground < len(labels)
    assert labels[0] < C
    theirs = loss(logits, labels, avg_factor=len(labels))["loss_cls"]
    torch.testing.assert_close(loss(logits, labels)["loss_cls"], theirs * len(labels) / foreground)
    weighted = loss(logits, labels, weights, avg_factor=1)["loss_cls"]
    torch.testing.assert_close(loss(logits, labels, weights)["loss_cls"], weighted / (foreground - 1))
    background = torch.full_like(labels, C)
    torch.testing.assert_close(loss(logits, background), loss(logits, background, avg_factor=1))


def test_gamma_zero_is_binary_cross_entropy():
    logits, labels = random_batch(C, C)
    expected = binary_cross_entropy(logits, labels).sum() / (labels < C).sum()
    losses = FocalLoss(C, gamma=0, alpha=None)(logits, labels)
    torch.testing.assert_close(losses["loss_cls"], expected)
    torch.testing.assert_close(gradient(losses, logits), torch.autograd.grad(expected, logits)[0])
    # α = 1/2 gives positives and negatives the same weight
    torch.testing.assert_close(FocalLoss(C, gamma=0, alpha=0.5)(logits, labels)["loss_cls"], expected / 2)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradients(gamma):
    loss = FocalLoss(C, gamma=gamma)
    logits, labels = random_batch(C, C)
    assert torch.autograd.gradcheck(lambda values: loss(values, labels)["loss_cls"], logits)
    # At p = 1, the derivative of (1 - p)^0.5 is infinite, but the derivative of its product with log(p) is finite.
    extreme = torch.full((1, C), -1e4).requires_grad_()
    extreme.data[0, 0] = 1e4
    assert torch.isfinite(gradient(loss(extreme, torch.tensor([0])), extreme)).all()


@pytest.mark.parametrize("background", ["implicit", "none"])
@pytest.mark.parametrize("beta", [0.9, 0.999, 0.9999])
def test_class_balanced_equations(beta, background):
    loss = ClassBalancedFocalLoss(C, instance_counts=COUNTS, beta=beta, gamma=0.5, background=background)
    weights = class_balanced_weights(COUNTS, beta, background == "implicit")
    golden.assert_matches(loss.class_weights, weights, PRECISE)
    logits, labels = random_batch(C, C)
    labels = labels if background == "implicit" else labels.clamp(max=C - 1)
    expected = focal(logits.tolist(), labels.tolist(), 0.5, None, (labels < C).sum().item(), weights)
    golden.assert_matches(loss(logits, labels)["loss_cls"], expected, PRECISE)


def test_beta_zero_is_focal_loss():
    logits, labels = random_batch(C, C)
    balanced = ClassBalancedFocalLoss(C, instance_counts=COUNTS, beta=0, gamma=2)
    torch.testing.assert_close(balanced.class_weights, torch.ones(C).double())
    expected = FocalLoss(C, gamma=2, alpha=None)(logits, labels)
    torch.testing.assert_close(balanced(logits, labels), expected)


def test_beta_towards_one_is_inverse_frequency():
    weights = ClassBalancedFocalLoss(C, instance_counts=COUNTS, beta=1 - 1e-9, background="none").class_weights
    inverse = 1 / torch.tensor(COUNTS, dtype=torch.float64)
    torch.testing.assert_close(weights, inverse * C / inverse.sum(), rtol=1e-4, atol=0)
    assert weights.sum() == pytest.approx(C)


def test_background_weighs_as_much_as_the_average_object():
    weights = ClassBalancedFocalLoss(C, instance_counts=COUNTS).class_weights
    counts = torch.tensor(COUNTS)
    assert (weights * counts).sum() == pytest.approx(counts.sum().item())
    logits, _ = random_batch(C, C)
    background = torch.full((len(logits),), C)
    balanced = ClassBalancedFocalLoss(C, instance_counts=COUNTS, gamma=2)(logits, background)
    torch.testing.assert_close(balanced, FocalLoss(C, gamma=2, alpha=None)(logits, background))


def test_categories_without_instances():
    loss = ClassBalancedFocalLoss(C, instance_counts=[0, *COUNTS[1:]])
    assert torch.equal(loss.class_weights, ClassBalancedFocalLoss(C, instance_counts=COUNTS).class_weights)


def test_the_prior_is_the_first_probability():
    torch.testing.assert_close(FocalLoss(C).initial_bias().sigmoid(), torch.full((C,), 0.01))
