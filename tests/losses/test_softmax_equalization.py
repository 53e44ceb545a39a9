"""Test SoftmaxEqualizationLoss: the paper's equations, the limits of γ, and the frequency of β = 1."""

import torch
import torch.nn.functional as F

from seesaw_d2.losses import SoftmaxEqualizationLoss
from tests import golden
from tests.losses.batches import gradient
from tests.reference.softmax_equalization import softmax_equalization

C = 5
FREQUENCY = [0.0, 1e-4, 4.3e-4, 0.01, 0.5]


def make(**kwargs):
    return SoftmaxEqualizationLoss(C, image_frequency=FREQUENCY, **kwargs)


def batch(size=12):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(size, C, generator=generator, dtype=torch.float64).requires_grad_()
    return logits, torch.randint(0, C, (size,), generator=generator)


def test_the_papers_equations():
    loss = make(gamma=0.5).eval()
    logits, labels = batch()
    losses = loss(logits, labels)
    beta = (loss.random.uniform(*logits.shape) < 0.5).int()
    value, grad = softmax_equalization(logits.tolist(), labels.tolist(), FREQUENCY, 4.3e-4, beta.tolist(), len(labels))
    golden.assert_matches(losses["loss_cls"], value, golden.EXACT)
    golden.assert_matches(gradient(losses, logits), grad, golden.EXACT)


def test_gamma_zero_and_lambda_zero_are_cross_entropy():
    logits, labels = batch()
    expected = F.cross_entropy(logits, labels)
    for loss in (make(gamma=0), make(lambda_=0)):
        torch.testing.assert_close(loss(logits, labels)["loss_cls"], expected)


def test_tail_classes_are_spared_with_probability_gamma():
    loss = make(gamma=0.9)
    logits = torch.zeros(4000, C, requires_grad=True)
    spared = gradient(loss(logits, torch.full((4000,), 4)), logits) == 0
    assert torch.allclose(spared.double().mean(dim=0)[:2], torch.tensor(0.9, dtype=torch.float64), atol=0.02)
    assert not spared[:, 2:].any()
