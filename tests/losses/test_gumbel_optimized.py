"""Test that GumbelOptimizedLoss equals the paper's equations and the numbers of the reference."""

import numpy as np
import pytest
import torch

from seesaw_d2.losses import GumbelOptimizedLoss
from tests import golden
from tests.losses.batches import gradient, random_batch
from tests.reference.gumbel_optimized import gumbel_optimized

C, FREQUENCY = 4, [0.0001, 0.3, 0.001, 0.02]


def assert_gradient_matches(actual, call, key):
    """Compare gradients where the reference's gradient is correct. Elsewhere, expect d(-log η) / dz = -exp(-z)."""
    z = np.clip(call["logits"].astype(np.float64), -4, 10)
    p = np.exp(-np.exp(-z))
    right = p * (1 - p) > 1e-12
    golden.assert_matches(actual[right], call[key][right], golden.EXACT)
    assert right.sum() > 20


@pytest.mark.parametrize("weighting", ["drop", "eql", "none"])
@pytest.mark.parametrize("only_background", [False, True])
def test_the_papers_equations(weighting, only_background):
    loss = GumbelOptimizedLoss(C, image_frequency=FREQUENCY, weighting=weighting)
    logits, labels = random_batch(C, C)
    if only_background:
        labels = torch.full_like(labels, C)
    losses = loss.eval()(logits, labels)
    random = loss.random.uniform(*logits.shape).tolist()
    expected = gumbel_optimized(logits.tolist(), labels.tolist(), [f < 1.1e-3 for f in FREQUENCY], weighting, random)
    assert losses["loss_cls"].item() == pytest.approx(expected / len(labels), rel=1e-9)


@pytest.mark.parametrize("name", ["gol_C6", "gol_C30"])
@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("weighting", ["drop", "eql"])
def test_the_references_numbers(name, index, weighting, monkeypatch):
    arrays = golden.load(name, "golden2")
    call = golden.Call(arrays, f"call{index}")
    activation = str(call["use_classif"])
    frequency = arrays["image_frequency"]
    loss = GumbelOptimizedLoss(
        len(frequency),
        image_frequency=torch.from_numpy(frequency),
        weighting=weighting,
        activation="sigmoid" if activation == "sigmoid" else "gumbel",
    )
    monkeypatch.setattr(loss.random, "uniform", lambda *shape: call.tensor("rand"))
    logits, labels = call.tensor("logits").requires_grad_(), call.tensor("labels", torch.int64)
    losses = loss(logits, labels)
    golden.assert_matches(losses["loss_cls"], call[f"{weighting}_loss"], golden.EXACT)
    assert_gradient_matches(gradient(losses, logits), call, f"{weighting}_grad")
    golden.assert_matches(
        loss.factors(logits, labels, loss.targets(logits, labels)), call[f"{weighting}_weight"], golden.EXACT
    )
    golden.assert_matches(loss.probabilities(logits)[:, :-1], call["scores"][:, :-1], golden.EXACT)


@pytest.mark.parametrize("name", ["gumbel_ce_C6", "gumbel_ce_C30"])
@pytest.mark.parametrize("index", range(3))
def test_the_references_numbers_without_weighting(name, index):
    call = golden.Call(golden.load(name, "golden2"), f"call{index}")
    num_classes = call["logits"].shape[1] - 1
    loss = GumbelOptimizedLoss(num_classes, image_frequency=None, weighting="none", background="class")
    logits, labels = call.tensor("logits").requires_grad_(), call.tensor("labels", torch.int64)
    weighted = loss(logits, labels, call.tensor("label_weights"), call.avg_factor)
    plain = loss(logits, labels, None, float(logits.numel()))
    for kind, losses in (("weighted", weighted), ("plain_mean", plain)):
        golden.assert_matches(losses["loss_cls"], call[f"loss_{kind}"], golden.EXACT)
        assert_gradient_matches(gradient(losses, logits), call, f"grad_{kind}")
    golden.assert_matches(loss.probabilities(logits), call["scores"], golden.EXACT)


def test_a_wrong_positive_keeps_its_gradient():
    """Test that a wrong positive has a gradient. The gradient of the reference vanishes."""
    loss = GumbelOptimizedLoss(C, image_frequency=FREQUENCY)
    logits = torch.full((1, C), -3.9, dtype=torch.float64, requires_grad=True)
    grad = gradient(loss(logits, torch.tensor([1])), logits)
    assert grad[0, 1].item() == pytest.approx(-np.exp(3.9))


@pytest.mark.parametrize("activation", ["gumbel", "sigmoid"])
def test_the_prior_is_the_initial_probability(activation):
    loss = GumbelOptimizedLoss(C, image_frequency=FREQUENCY, prior=0.025, activation=activation)
    scores = loss.probabilities(loss.initial_bias().double().unsqueeze(0))
    torch.testing.assert_close(scores[0, :C], torch.full((C,), 0.025, dtype=torch.float64))


def test_the_default_prior_is_the_authors_bias():
    assert GumbelOptimizedLoss(C, image_frequency=None).initial_bias()[0].item() == pytest.approx(-2.75, abs=1e-3)


def test_a_resumed_training_draws_the_same_numbers():
    loss, resumed = (GumbelOptimizedLoss(C, image_frequency=FREQUENCY) for _ in range(2))
    logits, labels = random_batch(C, C, num_proposals=200)
    first = loss(logits, labels)["loss_cls"]
    resumed.load_state_dict(loss.state_dict())
    second = loss(logits, labels)["loss_cls"]
    assert torch.equal(resumed(logits, labels)["loss_cls"], second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("argument", "value"), [("weighting", "all"), ("activation", "tanh"), ("lambda_", -1), ("prior", 0)]
)
def test_arguments_are_checked(argument, value):
    with pytest.raises(ValueError, match=f"{argument}: .*{value}"):
        GumbelOptimizedLoss(C, image_frequency=FREQUENCY, **{argument: value})


def test_a_clamped_loss_is_reported(caplog):
    loss = GumbelOptimizedLoss(60, image_frequency=None, weighting="none", background="none")
    logits, labels = torch.zeros(8, 60, requires_grad=True), torch.arange(8)
    for _ in range(101):
        losses = loss(logits, labels)
    assert gradient(losses, logits).abs().sum() == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "GOL.WEIGHTING" in caplog.text
    caplog.clear()
    for other in (loss.eval(), GumbelOptimizedLoss(60, image_frequency=[1.0] * 60, background="none")):
        other(logits, labels)
    GumbelOptimizedLoss(60, image_frequency=None, weighting="none", background="none")(logits - 2, labels)
    assert not caplog.records
