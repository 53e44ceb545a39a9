"""Test CrossEntropyLoss: kinds of background, weights, averages, and probabilities."""

import copy

import pytest
import torch
import torch.nn.functional as F

from seesaw_d2.losses import CrossEntropyLoss, SeesawLoss
from tests.losses.batches import random_batch

C, N = 5, 11


@pytest.fixture
def batch():
    torch.manual_seed(0)
    weights = torch.rand(N).double()
    weights[3] = 0
    return torch.randn(N, C + 2).double(), torch.randint(0, C + 1, (N,)), weights


@pytest.mark.parametrize(("background", "extra"), [("class", 1), ("none", 0)])
def test_one_softmax(batch, background, extra):
    logits, labels, weights = batch
    logits, labels = logits[:, : C + extra].clone().requires_grad_(), labels.clamp(max=C - 1 + extra)
    loss = CrossEntropyLoss(C, background=background)
    assert loss.num_logits == C + extra
    each = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss(logits, labels), {"loss_cls": each.mean()})
    weighted = (each * weights).sum()
    torch.testing.assert_close(loss(logits, labels, weights), {"loss_cls": weighted / (N - 1)})
    torch.testing.assert_close(loss(logits, labels, weights, 7), {"loss_cls": weighted / 7})
    torch.testing.assert_close(loss(logits, labels, weights, torch.tensor(7)), {"loss_cls": weighted / 7})
    torch.testing.assert_close(loss.probabilities(logits), logits.softmax(1))


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("gathers", [True, False])
def test_objectness(batch, weighted, gathers, monkeypatch):
    monkeypatch.setattr(CrossEntropyLoss, "_gathers_rows", staticmethod(lambda device: gathers))
    logits, labels, weights = batch
    logits.requires_grad_()
    loss = CrossEntropyLoss(C, background="objectness")
    assert loss.num_logits == C + 2
    foreground = labels < C
    used = weights if weighted else torch.ones_like(weights)
    avg_factor = (used > 0).sum()
    classes = F.cross_entropy(logits[foreground, :C], labels[foreground], reduction="none")
    objectness = F.cross_entropy(logits[:, C:], (labels == C).long(), reduction="none")
    expected = {
        "loss_cls_classes": (classes * used[foreground]).sum() / avg_factor,
        "loss_cls_objectness": (objectness * used).sum() / avg_factor,
    }
    actual = loss(logits, labels, weights if weighted else None)
    torch.testing.assert_close(actual, expected)
    for key, value in expected.items():
        (grad,) = torch.autograd.grad(actual[key], logits, retain_graph=True)
        torch.testing.assert_close(grad, torch.autograd.grad(value, logits, retain_graph=True)[0])


def test_objectness_probabilities(batch):
    logits, _, _ = batch
    probs = CrossEntropyLoss(C, background="objectness").probabilities(logits)
    foreground = logits[:, C:].softmax(1)[:, :1]
    torch.testing.assert_close(probs[:, :C], logits[:, :C].softmax(1) * foreground)
    torch.testing.assert_close(probs[:, C:], 1 - foreground)
    torch.testing.assert_close(probs.sum(1), torch.ones(N).double())


@pytest.mark.parametrize("background", ["objectness", "class", "none"])
def test_gradients(batch, background):
    logits, labels, weights = batch
    loss = CrossEntropyLoss(C, background=background)
    logits = logits[:, : loss.num_logits].clone().requires_grad_()
    labels = labels.clamp(max=loss.num_label_values - 1)

    def function(values):
        return tuple(loss(values, labels, weights).values())

    assert torch.autograd.gradcheck(function, logits)
    assert torch.autograd.gradgradcheck(function, logits)


def test_all_weights_zero(batch):
    logits, labels, weights = batch
    losses = CrossEntropyLoss(C, background="objectness")(logits, labels, torch.zeros_like(weights))
    assert sum(losses.values()) == 0


@pytest.mark.parametrize("make", [CrossEntropyLoss, SeesawLoss], ids=lambda make: make.__name__)
def test_a_compiled_loss_is_one_graph(make):
    """Test that a compiled loss is one graph. It does not gather foreground rows, so no shape depends on values."""
    plain = make(7, background="objectness")
    logits, labels = random_batch(plain.num_logits, 7)
    compiled = torch.compile(copy.deepcopy(plain), backend="eager", fullgraph=True)
    expected, found = plain(logits, labels), compiled(logits, labels)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
