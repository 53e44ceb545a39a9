"""Test PairwiseClassBalance with unseen categories, after resuming, and with invalid arguments."""

import logging

import pytest
import torch

from seesaw_d2.losses import (
    ClassificationLoss,
    CrossEntropyLoss,
    PairwiseClassBalance,
)
from tests.losses.test_pcb import C, assert_same, batch, make, value_and_grad


def without_category(loss, missing=2):
    logits, labels, weights = batch(loss)
    return logits, labels.masked_fill(labels == missing, 0), weights


def test_waits_for_every_category_and_says_so(caplog):
    loss = make(start_iter=50)
    arguments = without_category(loss)
    plain = value_and_grad(CrossEntropyLoss(C), arguments)
    with caplog.at_level(logging.WARNING):
        for _ in range(1600):
            loss._update(arguments[0], arguments[1], before_loss=True)
    assert_same(value_and_grad(loss, arguments), plain)
    assert all(each in caplog.messages[0] for each in ("1 of 5 categories", "in 100 ", "START_ITER is 50", "ids: 2"))
    assert len(caplog.records) == 5  # after 100, 200, 400, 800, 1600 steps
    loss(*batch(loss))
    assert loss._strength(torch.float64) > 0


def test_nothing_is_said_before_its_start_or_when_all_were_seen(caplog):
    early, complete = make(start_iter=1000), make()
    for _ in range(300):
        early._update(*without_category(early)[:2], before_loss=True)
        complete._update(*batch(complete)[:2], before_loss=True)
    assert not caplog.records


def test_ignoring_unseen_categories():
    loss = make(unseen="ignore")
    value_and_grad(loss, without_category(loss))
    assert loss._strength(torch.float64) > 0
    targets = loss.soft_targets(torch.arange(C), torch.float64)
    assert not targets[[0, 1, 3, 4], 2].any()  # soft labels have no share of unseen categories
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(C, dtype=torch.float64))


def test_resumed_equals_uninterrupted_with_the_wrapped_losss_state():
    loss, resumed = make("seesaw", start_iter=1), make("seesaw", start_iter=1)
    for seed in range(2):
        loss(*batch(loss, seed))
    resumed.load_state_dict(loss.state_dict())
    assert {"confusion", "seen_counts", "steps", "loss.class_counts"} == set(loss.state_dict())
    first, second = (value_and_grad(each, batch(loss, 2)) for each in (loss, resumed))
    assert torch.equal(first[1], second[1])
    assert torch.equal(loss.confusion, resumed.confusion)


class HardOnly(ClassificationLoss):
    def __init__(self, num_classes):
        super().__init__(num_classes, background="class")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": HardOnly(C)}, r"loss: expected .*SeesawLoss.*, found 'HardOnly'"),
        ({"loss": CrossEntropyLoss(3)}, "loss: expected .*5.*, found CrossEntropyLoss"),
        ({"background": "objectness"}, "background: expected \"class\".*, found 'objectness'"),
        ({"alpha": 1.5}, r"alpha: expected a number in \[0, 1\], found 1.5"),
        ({"momentum": 1.0}, r"momentum: expected a number in \[0, 1\), found 1.0"),
        ({"start_iter": 0.5}, "start_iter: expected an integer >= 0, found 0.5"),
        ({"start_iter": -1}, "start_iter: expected an integer >= 0, found -1"),
        ({"unseen": "skip"}, 'unseen: expected "wait" or "ignore", found \'skip\''),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PairwiseClassBalance(C, **{"loss": CrossEntropyLoss(C), **arguments})


def test_too_large_a_matrix_is_refused_before_it_is_made():
    with pytest.raises(ValueError, match=r"max_matrix_mb: .*697\.382.* 13204 x 13204"):
        PairwiseClassBalance(13204, loss=CrossEntropyLoss(13204))
    assert PairwiseClassBalance(1230, loss=CrossEntropyLoss(1230)).confusion.numel() == 1230**2


def test_one_collective_of_c_by_c_plus_one_values(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "seesaw_d2.losses.pairwise_class_balance.all_reduce_sum",
        lambda values: (sizes.append(values.numel()), values)[1],
    )
    loss = make()
    logits, labels, _ = batch(loss)
    loss(logits, labels)
    loss(logits, torch.full_like(labels, C))  # without foreground
    assert sizes == [C * (C + 1)] * 2
