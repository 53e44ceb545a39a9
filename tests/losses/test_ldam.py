"""Test that LDAMLoss equals the paper's equations, and applies weights from the start iteration on."""

import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, LDAMLoss
from tests.losses.batches import gradient, random_batch
from tests.reference.ldam import class_balanced_weights, ldam

C, COUNTS = 4, [1000, 10, 3, 100]


def batch(loss):
    logits, labels = random_batch(loss.num_logits, C)
    return logits, labels % C if loss.background == "none" else labels


def value(loss, logits, labels):
    return next(iter(loss(logits, labels).values())).item()


@pytest.mark.parametrize("background", ["objectness", "none"])
@pytest.mark.parametrize(("max_margin", "scale", "start"), [(0.5, 30.0, 0), (0.3, 20.0, 5)])
def test_the_papers_equations(background, max_margin, scale, start):
    arguments = {"max_margin": max_margin, "scale": scale, "start_iter": start, "background": background, "beta": 0.99}
    loss = LDAMLoss(C, instance_counts=COUNTS, **arguments)
    logits, labels = batch(loss)
    weights = [1.0] * C if start else class_balanced_weights(COUNTS, 0.99)
    expected = 0.0
    for z, label in zip((logits[:, :C] / scale).tolist(), labels.tolist(), strict=True):
        if label < C:
            expected += weights[label] * ldam(z, label, COUNTS, max_margin, scale)
    assert value(loss, logits, labels) == pytest.approx(expected / len(labels), rel=1e-10)


def test_a_background_class_has_no_margin_and_weight_one():
    loss = LDAMLoss(C, instance_counts=COUNTS, background="class")
    logits, labels = random_batch(C + 1, C)
    labels = torch.full_like(labels, C)
    torch.testing.assert_close(loss(logits, labels), CrossEntropyLoss(C)(logits, labels))


def test_reweighting_is_deferred():
    """Test that the weights are 1 in the first ``start_iter`` steps."""
    loss = LDAMLoss(C, instance_counts=COUNTS, start_iter=2)
    plain, weighted = (LDAMLoss(C, instance_counts=COUNTS, beta=beta) for beta in (0.0, 0.9999))
    logits, labels = batch(loss)
    first = value(plain, logits, labels)
    assert [value(loss, logits, labels) for _ in range(3)] == [first, first, value(weighted, logits, labels)]
    assert first != value(weighted, logits, labels)


def test_a_resumed_training_reweights_at_the_same_step():
    loss, resumed = (LDAMLoss(C, instance_counts=COUNTS, start_iter=1) for _ in range(2))
    logits, labels = batch(loss)
    value(loss, logits, labels)
    resumed.load_state_dict(loss.state_dict())
    assert value(resumed, logits, labels) == value(loss, logits, labels)


def test_several_classifications_are_one_step():
    loss = LDAMLoss(C, instance_counts=COUNTS, start_iter=2)
    logits, labels = batch(loss)
    for index in range(3):
        loss.set_iteration(index, 3)
        loss(logits, labels)
    assert loss.steps == 1


def test_no_margin_and_no_weights_are_cross_entropy():
    loss = LDAMLoss(C, instance_counts=COUNTS, max_margin=0, beta=0)
    plain = CrossEntropyLoss(C, background="objectness")
    logits, labels = batch(loss)
    torch.testing.assert_close(loss(logits, labels), plain(logits, labels))
    torch.testing.assert_close(gradient(loss(logits, labels), logits), gradient(plain(logits, labels), logits))
    assert torch.equal(loss.probabilities(logits), plain.probabilities(logits))


@pytest.mark.parametrize(
    ("argument", "wrong"), [("max_margin", -0.1), ("scale", 0), ("beta", 1.0), ("start_iter", -1), ("start_iter", 1.5)]
)
def test_arguments_are_checked(argument, wrong):
    with pytest.raises(ValueError, match=f"{argument}: .*{wrong}"):
        LDAMLoss(C, instance_counts=COUNTS, **{argument: wrong})
