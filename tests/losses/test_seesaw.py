"""Test SeesawLoss: identities, the equations of the paper, and class counts."""

import numpy as np
import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, SeesawLoss
from tests.reference import seesaw as reference

C, N = 7, 20
BACKGROUNDS = ["objectness", "class", "none"]


def batch(loss, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(N, loss.num_logits, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, loss.num_label_values, (N,), generator=generator)
    weights = torch.rand(N, generator=generator, dtype=torch.float64)
    weights[::5] = 0
    return logits.requires_grad_(), labels, weights


def force_rows(monkeypatch, gathers):
    monkeypatch.setattr(SeesawLoss, "_gathers_rows", staticmethod(lambda device: gathers))


@pytest.mark.parametrize("gathers", [True, False])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_without_exponents_it_is_cross_entropy(background, gathers, monkeypatch):
    force_rows(monkeypatch, gathers)
    loss = SeesawLoss(C, p=0, q=0, background=background)
    logits, labels, weights = batch(loss)
    results = []
    for each in (loss, CrossEntropyLoss(C, background=background)):
        losses = each(logits, labels, weights)
        results.append((losses, torch.autograd.grad(sum(losses.values()), logits)))
    torch.testing.assert_close(*results, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_equal_counts_and_no_mistakes_are_cross_entropy(background):
    """Test that if all counts are equal and the label has the largest logit, S = 1 and the loss is cross-entropy."""
    num_entries = C + (background == "class")
    loss = SeesawLoss(C, background=background, class_counts=[9] * num_entries)
    logits, labels, weights = batch(loss)
    entries = loss.num_logits - 2 * (background == "objectness")
    with torch.no_grad():
        logits[torch.arange(N), labels.clamp(max=entries - 1)] = 100
    expected = CrossEntropyLoss(C, background=background)(logits, labels, weights)
    torch.testing.assert_close(loss(logits, labels, weights), expected)


@pytest.mark.parametrize("gathers", [True, False])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("p", "q", "eps"), [(0.8, 2, 0.01), (0, 2, 0.3), (1.5, 0, 0.01), (1, 0.5, 1e-6)])
def test_literal_equations(p, q, eps, seed, gathers, monkeypatch):
    force_rows(monkeypatch, gathers)
    loss = SeesawLoss(C, p=p, q=q, eps=eps)
    logits, labels, weights = batch(loss, seed)
    loss.class_counts[:3] = torch.tensor([1000, 50, 3])
    losses = loss(logits, labels, weights, 5.0)
    literal = reference.seesaw_objectness(
        logits.detach().numpy(), labels.tolist(), weights.tolist(), loss.class_counts.tolist(), 5.0, p, q, eps
    )
    for key, value, gradient in zip(losses, literal[:2], literal[2:], strict=True):
        assert losses[key].item() == pytest.approx(value, rel=1e-12)
        (grad,) = torch.autograd.grad(losses[key], logits, retain_graph=True)
        np.testing.assert_allclose(grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("background", ["class", "none"])
def test_literal_equations_without_objectness(background):
    loss = SeesawLoss(C, background=background)
    logits, labels, weights = batch(loss)
    losses = loss(logits, labels, weights)
    counts = loss.class_counts.tolist()
    values = [
        reference.seesaw(z, label, counts, 0.8, 2.0, 0.01)[0]
        for z, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    expected = np.dot(values, weights) / np.count_nonzero(weights)
    assert losses["loss_cls"].item() == pytest.approx(expected, rel=1e-12)


def test_log_factors_are_literal_and_zero_at_the_label():
    loss = SeesawLoss(C, class_counts=[1000, 100, 10, 1, 0, 0, 5])
    logits, labels, _ = batch(loss)
    z, labels = logits.detach()[:, :C], labels.clamp(max=C - 1)
    factors = loss.log_factors(z, labels)
    literal = [
        reference.balance(row, label, loss.class_counts.tolist(), 0.8, 2.0, 0.01)
        for row, label in zip(z.tolist(), labels.tolist(), strict=True)
    ]
    np.testing.assert_allclose(factors.exp(), literal, rtol=1e-12)
    assert (factors.gather(1, labels[:, None]) == 0).all()


def test_gradcheck_with_the_factors_held_fixed(monkeypatch):
    """Test that the gradient equals the gradient of cross-entropy of z + log S with constant S."""
    loss = SeesawLoss(C).eval()
    logits, labels, weights = batch(loss)
    loss.class_counts[:3] = torch.tensor([1000, 50, 3])
    (grad,) = torch.autograd.grad(sum(loss(logits, labels, weights).values()), logits)

    foreground = labels < C
    zero = torch.zeros_like(labels)
    fixed = loss.log_factors(logits.detach()[:, :C], torch.where(foreground, labels, zero))
    monkeypatch.setattr(loss, "log_factors", lambda logits, labels: fixed)
    monkeypatch.setattr(SeesawLoss, "_gathers_rows", staticmethod(lambda device: False))

    def function(values):
        return sum(loss(values, labels, weights).values())

    assert torch.autograd.gradcheck(function, logits)
    torch.testing.assert_close(grad, torch.autograd.grad(function(logits), logits)[0], rtol=1e-12, atol=1e-15)


def test_mitigation_lowers_and_compensation_raises_punishment():
    counts = [1000, 10]
    z, label = torch.tensor([[0.0, 1.0]]).double(), torch.tensor([0])
    mitigated = SeesawLoss(2, q=0, class_counts=counts).log_factors(z, label)[0, 1]
    compensated = SeesawLoss(2, p=0, class_counts=counts).log_factors(z, label)[0, 1]
    assert mitigated.item() == pytest.approx(0.8 * np.log(10 / 1000))
    assert compensated.item() == pytest.approx(2 * 1.0)
    # Samples of the rare category give full negative gradients to the frequent category.
    assert SeesawLoss(2, q=0, class_counts=counts).log_factors(z, torch.tensor([1]))[0, 0] == 0


class HalfFactors(SeesawLoss):
    def log_factors(self, logits, labels):
        return super().log_factors(logits, labels) / 2


class DoubleRows(SeesawLoss):
    def row_losses(self, logits, labels, targets):
        return 2 * super().row_losses(logits, labels, targets)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_methods_of_a_subclass_are_used_on_a_cpu(background):
    counts = [1000, 50, 3, 2, 2, 1, 1]
    plain = SeesawLoss(C, background=background, class_counts=counts)
    half = HalfFactors(C, background=background, class_counts=counts)
    double = DoubleRows(C, background=background, class_counts=counts)
    logits, labels, weights = batch(plain)
    name = "loss_cls_classes" if background == "objectness" else "loss_cls"
    # Half the log factors are the log factors of half the exponents.
    expected = SeesawLoss(C, background=background, class_counts=counts, p=plain.p / 2, q=plain.q / 2)
    torch.testing.assert_close(half(logits, labels, weights), expected(logits, labels, weights))
    torch.testing.assert_close(double(logits, labels, weights)[name], 2 * plain(logits, labels, weights)[name])
