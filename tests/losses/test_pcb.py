"""Test PairwiseClassBalance: identities, equations with one loop per index, and the start of soft labels."""

import numpy as np
import pytest
import torch

from seesaw_d2.losses import (
    CrossEntropyLoss,
    EqualizationLossV2,
    PairwiseClassBalance,
    SeesawLoss,
)
from tests.reference import pcb as reference
from tests.reference.authors_pcb import AuthorsCrossEntropyPCB

C, N = 5, 30
LABELS = torch.arange(N) % (C + 1)
WRAPPED = {
    "ce": lambda: CrossEntropyLoss(C),
    "ce_objectness": lambda: CrossEntropyLoss(C, background="objectness"),
    "ce_none": lambda: CrossEntropyLoss(C, background="none"),
    "seesaw": lambda: SeesawLoss(C),
    "seesaw_class": lambda: SeesawLoss(C, background="class"),
    "eqlv2": lambda: EqualizationLossV2(C),
    "eqlv2_none": lambda: EqualizationLossV2(C, background="none"),
}
every_wrapped = pytest.mark.parametrize("wrapped", WRAPPED)


def make(wrapped="ce", loss_class=PairwiseClassBalance, **arguments):
    loss = WRAPPED[wrapped]()
    return loss_class(C, loss=loss, **{"alpha": 0.4, **arguments}).double()


def batch(loss, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(N, loss.num_logits, generator=generator, dtype=torch.float64)
    weights = 2 * torch.rand(N, generator=generator, dtype=torch.float64)
    labels = LABELS if loss.background != "none" else LABELS.clamp(max=C - 1)
    return logits.requires_grad_(), labels, weights


def value_and_grad(loss, arguments):
    losses = loss(*arguments)
    return losses, torch.autograd.grad(sum(losses.values()), arguments[0])[0]


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


@every_wrapped
@pytest.mark.parametrize("arguments", [{"alpha": 0.0}, {"start_iter": 2}])
def test_without_alpha_and_before_its_start_it_is_the_wrapped_loss(wrapped, arguments):
    loss, plain = make(wrapped, **arguments), WRAPPED[wrapped]()
    for seed in range(2):
        assert_same(value_and_grad(loss, batch(loss, seed)), value_and_grad(plain, batch(loss, seed)))
    for key, value in plain.state_dict().items():
        assert torch.equal(value, loss.loss.state_dict()[key])


@every_wrapped
def test_it_starts_at_its_iteration(wrapped):
    loss, plain = make(wrapped, start_iter=2), WRAPPED[wrapped]()
    differs = []
    for seed in range(4):
        ours, theirs = value_and_grad(loss, batch(loss, seed))[1], value_and_grad(plain, batch(loss, seed))[1]
        differs.append(not torch.allclose(ours, theirs))
    assert differs == [False, False, True, True]
    assert loss.steps == 4


def test_a_uniform_matrix_smooths_labels():
    """Test that with a uniform matrix, q is uniform, and PCB equals label smoothing."""
    loss = make(wrapped="ce_none", momentum=0.0)
    logits, labels, _ = batch(loss)
    loss(logits, labels)
    loss.confusion.fill_(0.2)
    smoothed = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.4)
    torch.testing.assert_close(loss.eval()(logits, labels)["loss_cls"], smoothed)


def test_a_diagonal_matrix_changes_nothing():
    loss = make()
    value_and_grad(loss, batch(loss))
    loss.confusion.copy_(torch.eye(C))
    assert_same(value_and_grad(loss.eval(), batch(loss)), value_and_grad(CrossEntropyLoss(C), batch(loss)))


@pytest.mark.parametrize("seed", range(3))
def test_literal_equations(seed):
    loss = make(momentum=0.7)
    confusion, counts = np.zeros((C, C)).tolist(), [0] * C
    for step in range(3):
        logits, labels, weights = batch(loss, 10 * seed + step)
        losses = loss(logits, labels, weights, 7.0)
        rows = (logits.tolist(), labels.tolist())
        confusion, counts = reference.update(confusion, counts, *rows, 0.7, "softmax")
        np.testing.assert_allclose(loss.confusion, confusion, rtol=1e-12)
        assert loss.seen_counts.tolist() == counts
        expected = reference.softmax_loss(*rows, weights.tolist(), 7.0, confusion, 0.4)
        assert losses["loss_cls"].item() == pytest.approx(expected, rel=1e-12)


def test_literal_equations_around_seesaw():
    loss = make("seesaw")
    loss.loss.class_counts[:3] = torch.tensor([1000, 50, 3])
    logits, labels, weights = batch(loss)
    losses = loss(logits, labels, weights, 7.0)
    counts = loss.loss.class_counts.tolist()
    rows = (logits.tolist(), labels.tolist(), weights.tolist())
    expected = reference.seesaw_loss(*rows, 7.0, loss.confusion.tolist(), 0.4, counts, 0.8, 2.0, 0.01)
    assert losses["loss_cls_classes"].item() == pytest.approx(expected, rel=1e-12)


@every_wrapped
def test_gradcheck(wrapped):
    loss = make(wrapped)
    value_and_grad(loss, batch(loss))
    logits, labels, weights = batch(loss, 1)
    loss.eval()
    if wrapped.startswith("seesaw"):  # the factors of Seesaw Loss have no gradient
        loss.loss.q = 0.0
    assert torch.autograd.gradcheck(lambda values: sum(loss(values, labels, weights).values()), logits)


@pytest.mark.parametrize("gathers", [True, False])
def test_both_ways_to_the_foreground(gathers, monkeypatch):
    expected = make("seesaw")
    expected = value_and_grad(expected, batch(expected))
    monkeypatch.setattr(CrossEntropyLoss, "_gathers_rows", staticmethod(lambda device: gathers))
    loss = make("seesaw")
    assert_same(value_and_grad(loss, batch(loss)), expected)


def test_alpha_grows_over_the_iterations_of_a_step():
    loss = make()
    arguments, strengths = batch(loss), []
    for index in (0, 1, 2):
        loss.set_iteration(index, 3)
        loss(*arguments)
        strengths.append(loss._strength(torch.float64).item())
    assert strengths == pytest.approx([0, 0.2, 0.4])
    assert loss.steps == 1
    loss.set_iteration(0, 1)  # with one iteration, the authors' alpha / (n_iter - 1) * iter_id is 0 / 0
    loss(*arguments)
    assert loss._strength(torch.float64) == pytest.approx(0.4)
    assert loss.steps == 2


def test_the_fightback_label_is_the_column():
    """Test that if category 0 is often predicted for 1, labels of 0 get a share of category 1, but not the reverse."""
    loss = make(alpha=1.0)
    value_and_grad(loss, batch(loss))
    loss.confusion.copy_(torch.eye(C))
    loss.confusion[1, :2] = torch.tensor([0.6, 0.4])
    targets = loss.soft_targets(torch.tensor([0, 1, C]), torch.float64)
    np.testing.assert_allclose(targets[0, :2], [1 / 1.6, 0.6 / 1.6])
    np.testing.assert_allclose(targets[1, :2], [0, 1])
    assert not targets[2].any()


def test_a_cold_matrix_keeps_hard_labels():
    """Test a difference: a zero matrix with counts, as in old files, gives hard labels. The reference computes 0 /
    0."""
    arguments = batch(make())
    results = {}
    for loss_class in (PairwiseClassBalance, AuthorsCrossEntropyPCB):
        loss = make(loss_class=loss_class)
        loss.steps += 1
        loss.seen_counts += 1
        loss.eval()
        results[loss_class] = value_and_grad(loss, arguments)
    theirs, ours = results[AuthorsCrossEntropyPCB], results[PairwiseClassBalance]
    assert torch.isnan(theirs[0]["loss_cls"])
    assert torch.isnan(theirs[1]).any()
    assert_same(ours, value_and_grad(CrossEntropyLoss(C), arguments))
