"""Test that BalancedSoftmaxLoss equals the paper's equation, and cross-entropy for balanced data."""

import pytest
import torch

from seesaw_d2.losses import BalancedSoftmaxLoss, CrossEntropyLoss
from tests.losses.batches import gradient, random_batch
from tests.reference.balanced_softmax import balanced_softmax

C, COUNTS = 4, [1, 10, 100, 1000]


def expected_loss(logits, labels, counts):
    rows = zip(logits[:, :C].tolist(), labels.tolist(), strict=True)
    return sum(balanced_softmax(z, label, counts) for z, label in rows if label < C) / len(labels)


@pytest.mark.parametrize("background", ["objectness", "none"])
def test_the_papers_equation(background):
    loss = BalancedSoftmaxLoss(C, instance_counts=COUNTS, background=background)
    logits, labels = random_batch(loss.num_logits, C)
    if background == "none":
        labels = labels % C
    value = next(iter(loss(logits, labels).values()))
    assert value.item() == pytest.approx(expected_loss(logits, labels, COUNTS), rel=1e-10)


def test_a_category_without_instances_counts_as_one():
    loss = BalancedSoftmaxLoss(C, instance_counts=[0, 10, 0, 7])
    logits, labels = random_batch(loss.num_logits, C)
    expected = expected_loss(logits, labels, [1, 10, 1, 7])
    assert loss(logits, labels)["loss_cls_classes"].item() == pytest.approx(expected, rel=1e-10)


def test_equal_counts_give_cross_entropy():
    loss, plain = BalancedSoftmaxLoss(C, instance_counts=[7] * C), CrossEntropyLoss(C, background="objectness")
    logits, labels = random_batch(loss.num_logits, C)
    torch.testing.assert_close(loss(logits, labels), plain(logits, labels))
    torch.testing.assert_close(gradient(loss(logits, labels), logits), gradient(plain(logits, labels), logits))


def test_scores_do_not_depend_on_the_counts():
    logits, _ = random_batch(C + 2, C)
    scores = BalancedSoftmaxLoss(C, instance_counts=COUNTS).probabilities(logits)
    assert torch.equal(scores, CrossEntropyLoss(C, background="objectness").probabilities(logits))
    assert torch.equal(scores, BalancedSoftmaxLoss(C, instance_counts=None).probabilities(logits))
