"""Test that the CPU implementation of Seesaw Loss equals cross-entropy of z + log S, in value and gradient."""

import pytest
import torch

from seesaw_d2.losses import SeesawLoss
from seesaw_d2.losses.seesaw_cpu import SeesawRows, fits

C = 300  # gives several blocks of rows
COUNTS = torch.randint(0, 10**6, (C + 1,), generator=torch.Generator().manual_seed(0)) ** 2 // 10**6


def both_ways(monkeypatch, logits, labels, weights=None, **options):
    """Return [(losses, gradient)] of the CPU implementation and of cross-entropy of z + log S."""
    found = []
    for gathers in (True, False):
        monkeypatch.setattr(SeesawLoss, "_gathers_rows", staticmethod(lambda device, gathers=gathers: gathers))
        loss = SeesawLoss(C, class_counts=COUNTS, **options)
        leaf = logits.clone().requires_grad_()
        losses = loss(leaf, labels, weights)
        sum(losses.values()).backward()
        found.append((losses, leaf.grad))
    return found


@pytest.mark.parametrize("background", ["objectness", "class"])
@pytest.mark.parametrize("foreground", [0.3, 1.0])
@pytest.mark.parametrize(
    ("p", "q", "eps"), [(0.8, 2, 0.01), (0, 2, 0.01), (0.8, 0, 0.01), (2, 3.5, 1e-5), (0.3, 0.5, 1)]
)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_equals_adjusted_logits(monkeypatch, background, foreground, p, q, eps, scale):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, C, (500,), generator=generator)
    labels[torch.rand(500, generator=generator) > foreground] = C
    weights = torch.rand(500, generator=generator)
    width = C + (2 if background == "objectness" else 1)
    logits = scale * torch.randn(500, width, generator=generator, dtype=torch.float64)
    (fused, fused_grad), (plain, plain_grad) = both_ways(
        monkeypatch, logits, labels, weights, background=background, p=p, q=q, eps=eps
    )
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=0)
    torch.testing.assert_close(fused_grad, plain_grad, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("own", "other"), [(-1e4, 1e4), (1e4, -1e4), (-90.0, 0.0), (-1e4, -1e4)])
def test_probabilities_that_float32_has_not(monkeypatch, own, other):
    """Compare with float64, because adding log S to 1e4 in float32 loses four digits."""
    labels = torch.tensor([5, 250, C])
    logits = torch.full((3, C + 2), other)
    logits[torch.arange(3), labels] = own
    (fused, fused_grad), _ = both_ways(monkeypatch, logits, labels)
    _, (plain, plain_grad) = both_ways(monkeypatch, logits.double(), labels)
    for name, loss in fused.items():
        torch.testing.assert_close(loss.double(), plain[name], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(fused_grad.double(), plain_grad, rtol=1e-5, atol=1e-8)


def test_largest_counts_and_powers_stay_finite():
    logits = torch.zeros(2, 3, requires_grad=True)
    counts = torch.tensor([2.0**63, 1.0, 2.0**40])
    losses, _ = SeesawRows.apply(logits, None, torch.tensor([0, 1]), counts, 2.0, 10.0, 0.01)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()
    assert losses[0] < 1e-6 < losses[1]


@pytest.mark.parametrize(("p", "q", "eps"), [(2.1, 2, 0.01), (0.8, 11, 0.01), (0.8, 2, 1e-11)])
def test_powers_beyond_float32_go_the_other_way(p, q, eps):
    assert not fits(p, q, eps)
    logits = torch.randn(4, C + 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    losses = SeesawLoss(C, p=p, q=q, eps=eps, class_counts=COUNTS)(logits, torch.tensor([0, 1, 2, C]))
    sum(losses.values()).backward()
    assert logits.grad.isfinite().all()


def test_gradients_of_gradients_are_refused():
    logits = torch.randn(4, C + 2, requires_grad=True)
    loss = sum(SeesawLoss(C)(logits, torch.tensor([0, 1, 2, C])).values())
    (grad,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
