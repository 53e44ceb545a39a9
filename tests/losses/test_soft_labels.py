"""Test soft labels and weighted means against ``F.cross_entropy``."""

import pytest
import torch
from torch.nn import functional as F

from seesaw_d2.losses import CrossEntropyLoss, EqualizationLossV2, SeesawLoss, soft_label_loss

C = 7


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(9, C, generator=generator, dtype=torch.float64, requires_grad=True)
    return logits, torch.rand(9, C, generator=generator, dtype=torch.float64).softmax(dim=1)


@pytest.mark.parametrize(
    "loss",
    [CrossEntropyLoss(C, background="none"), SeesawLoss(C, p=0.0, q=0.0, background="none")],
    ids=["ce", "seesaw"],
)
def test_without_factors_it_is_cross_entropy_with_probabilities(loss, batch):
    logits, targets = batch
    (found,) = soft_label_loss(loss, logits, targets).values()
    expected = F.cross_entropy(logits, targets)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-15)


def test_one_hot_targets_give_the_loss_of_labels_and_count_them(batch):
    logits, targets = batch
    labels = targets.argmax(dim=1)
    hard, soft = (SeesawLoss(C, background="none") for _ in range(2))
    (expected,), (found,) = (
        hard(logits, labels).values(),
        soft_label_loss(soft, logits, F.one_hot(labels, C).double()).values(),
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    assert torch.equal(soft.class_counts, hard.class_counts)
    assert soft.class_counts.sum() == len(labels)


def test_factors_are_those_of_the_largest_target(batch):
    logits, targets = batch
    loss = SeesawLoss(C, background="none", class_counts=list(range(1, C + 1))).eval()
    (found,) = soft_label_loss(loss, logits, targets).values()
    adjusted = logits + loss.log_factors(logits.detach(), targets.argmax(dim=1))
    torch.testing.assert_close(found, F.cross_entropy(adjusted, targets), rtol=1e-10, atol=0)


def test_the_sum_of_weights_as_divisor_is_the_mean_of_weighted_cross_entropy(batch):
    logits, targets = batch
    labels, class_weights = targets.argmax(dim=1), torch.arange(1.0, C + 1, dtype=torch.float64)
    weights = class_weights[labels]
    (found,) = CrossEntropyLoss(C, background="none")(logits, labels, weights, avg_factor=weights.sum()).values()
    torch.testing.assert_close(found, F.cross_entropy(logits, labels, weight=class_weights), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("loss", "change", "named"),
    [
        (SeesawLoss(C), lambda t: t, "background"),
        (EqualizationLossV2(C, background="none"), lambda t: t, "EqualizationLossV2"),
        (SeesawLoss(C, background="none"), lambda t: t[:, 1:], "targets"),
        (SeesawLoss(C, background="none"), lambda t: 2 * t, "targets"),
    ],
)
def test_what_does_not_fit_is_refused(loss, change, named, batch):
    logits, targets = batch
    if loss.background != "none":
        logits = torch.randn(9, loss.num_logits)
    with pytest.raises(ValueError, match=named):
        soft_label_loss(loss, logits, change(targets))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_in_half_precision_is_no_error(dtype):
    targets = torch.tensor([[0.65, 0.02, 0.29, 0.02, 0.02]], dtype=dtype)  # sums to 0.996 in bfloat16
    loss = CrossEntropyLoss(5, background="none")
    found = soft_label_loss(loss, torch.zeros(1, 5, dtype=dtype), targets)["loss_cls"]
    torch.testing.assert_close(found, torch.tensor(5.0).log(), rtol=0.01, atol=0)


def test_compiles_as_one_graph(batch):
    logits, targets = batch
    loss = SeesawLoss(C, background="none").eval()
    compiled = torch.compile(lambda *each: soft_label_loss(loss, *each), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(logits, targets), soft_label_loss(loss, logits, targets))
