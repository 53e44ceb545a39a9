"""Test EqualizationLoss against the paper's equations and the numbers of the reference, and λ = 0."""

import numpy as np
import pytest
import torch

from seesaw_d2.losses import EqualizationLoss, GumbelOptimizedLoss, SoftmaxEqualizationLoss
from tests import golden
from tests.losses.batches import assert_is_binary_cross_entropy, gradient, random_batch
from tests.reference.equalization import equalization

C = 5
FREQUENCY = [0.0, 1e-3, 1.77e-3, 0.01, 0.5]


def test_the_papers_equations():
    loss = EqualizationLoss(C, image_frequency=FREQUENCY)
    logits, labels = random_batch(C, C)
    losses = loss(logits, labels)
    value, grad = equalization(logits.tolist(), labels.tolist(), FREQUENCY, 1.77e-3, len(labels))
    golden.assert_matches(losses["loss_cls"], value, golden.EXACT)
    golden.assert_matches(gradient(losses, logits), grad, golden.EXACT)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, golden.EXACT), (torch.float32, golden.SINGLE)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("name", ["eql_C9", "eql_C60"])
def test_the_references_numbers(name, dtype, tolerance):
    arrays = golden.load(name)
    num_classes = int(arrays["cfg_num_classes"])
    loss = EqualizationLoss(num_classes, image_frequency=arrays["image_freq"], lambda_=float(arrays["cfg_lambda_"]))
    assert np.array_equal(loss.tail.numpy(), arrays["tail_mask"])
    for call in golden.calls(arrays):
        logits = call.tensor("logits", dtype).requires_grad_()
        losses = loss(logits, call.tensor("labels", torch.int64))
        golden.assert_matches(losses["loss_cls"], call["out_loss_cls"], tolerance)
        golden.assert_matches(gradient(losses, logits), call["grad_total"], tolerance)


def test_lambda_zero_is_binary_cross_entropy():
    loss = EqualizationLoss(C, image_frequency=FREQUENCY, lambda_=0)
    assert_is_binary_cross_entropy(loss)


def test_a_tail_category_is_spared_by_foreground_only():
    loss = EqualizationLoss(3, image_frequency=[0.0, 0.5, 0.5])
    logits = torch.zeros(3, 3, requires_grad=True)
    grad = gradient(loss(logits, torch.tensor([0, 1, 3])), logits)
    assert grad[0, 0] < 0  # positive
    assert grad[1, 0] == 0  # proposal of another category
    assert grad[2, 0] > 0  # background
    assert (grad[[0, 1, 2], [1, 2, 1]] > 0).all()


def test_weights_and_avg_factor():
    loss = EqualizationLoss(C, image_frequency=FREQUENCY)
    logits, labels = random_batch(C, C)
    weights = torch.linspace(0, 1, len(labels))
    each = torch.stack([loss(logits[[n]], labels[[n]])["loss_cls"] for n in range(len(labels))])
    expected = (each * weights).sum()
    torch.testing.assert_close(loss(logits, labels, weights)["loss_cls"], expected / (len(labels) - 1))
    torch.testing.assert_close(loss(logits, labels, weights, 7)["loss_cls"], expected / 7)


def test_scores():
    loss = EqualizationLoss(C, image_frequency=FREQUENCY)
    logits, _ = random_batch(C, C)
    probs = loss.probabilities(logits)
    torch.testing.assert_close(probs[:, :C], logits.sigmoid())
    torch.testing.assert_close(probs[:, C], 1 - logits.sigmoid().amax(dim=1))


def test_the_prior_is_the_first_probability():
    loss = EqualizationLoss(C, image_frequency=FREQUENCY, prior=0.03)
    torch.testing.assert_close(loss.initial_bias().sigmoid(), torch.full((C,), 0.03))


@pytest.mark.parametrize(
    ("frequency", "found"),
    [
        ([0.1] * 4, "4 "),
        ([0.1] * 3 + [-0.2, 0.1], "-0.2 .*3$"),
        ([0.1] * 4 + [float("nan")], "nan .*4$"),
        ([1, 50, 7, 1, 2], "50 .*1$"),
    ],
)
@pytest.mark.parametrize("loss", [EqualizationLoss, GumbelOptimizedLoss, SoftmaxEqualizationLoss])
def test_wrong_frequencies(loss, frequency, found):
    """Test also counts of images in place of shares, with which no category would be a tail category."""
    with pytest.raises(ValueError, match=f"image_frequency: expected 5 .* found {found}"):
        loss(C, image_frequency=frequency)
