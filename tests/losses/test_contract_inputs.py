"""Test the errors of every registered loss for invalid arguments."""

import pytest
import torch

from seesaw_d2.losses import LOSS_REGISTRY, CrossEntropyLoss
from tests.losses.test_contract import LOSSES, C, N, assert_same_state, batch, every_loss, make, state, total


@every_loss
def test_inputs_that_do_not_fit(name, background):
    loss = make(name, background)
    logits, labels = batch(loss)
    width = loss.num_logits
    cases = [
        ((logits[:, :-1], labels), rf"logits: expected shape \(N, {width}\), found \({N}, {width - 1}\)"),
        ((logits[0], labels), r"logits: expected shape"),
        ((logits.detach().long(), labels), "logits: .*torch.int64"),
        ((logits, labels[1:]), rf"labels: .*\({N},\).*found \({N - 1},\)"),
        ((logits, labels.int()), "labels: .*torch.int64, found torch.int32"),
        ((logits, labels + C), "labels: "),
        ((logits, labels - C - 1), "labels: "),
        ((logits, labels, torch.ones(1)), rf"weights: .*\({N},\).*found \(1,\)"),
        ((logits, labels, torch.full((N,), -1.0)), "weights: .*-1"),
        ((logits, labels, torch.full((N,), float("nan"))), "weights: .*nan"),
        ((logits, labels, None, 0), "avg_factor: .*found 0"),
        ((logits, labels, None, float("inf")), "avg_factor: .*found inf"),
        ((logits, labels, None, "1"), "avg_factor: .*found '1'"),
        ((logits, labels, None, torch.ones(2)), r"avg_factor: expected .* shape \(\), found .*\(2,\)"),
        ((logits, labels, None, torch.ones(1)), r"avg_factor: expected .* shape \(\), found .*\(1,\)"),
    ]
    before = state(loss)
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            loss(*arguments)
    assert_same_state(state(loss), before)


@every_loss
def test_labels_end_where_background_does(name, background):
    """Test that the largest label is valid, and that the next label is not."""
    loss = make(name, background)
    logits, labels = batch(loss)
    loss(logits, torch.full_like(labels, loss.num_label_values - 1))
    with pytest.raises(ValueError, match=rf"labels: .* {loss.num_label_values - 1}, found "):
        loss(logits, torch.full_like(labels, loss.num_label_values))


@every_loss
def test_an_average_over_nothing_is_finite(name, background):
    loss = make(name, background)
    logits, labels = batch(loss)
    losses = loss(logits, labels, torch.zeros(N), torch.tensor(0.0))
    assert all(value == 0 for value in losses.values())
    assert all(torch.isfinite(value) for value in loss(logits, labels, None, torch.tensor(0.0)).values())


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "SeesawLoss", "EqualizationLossV2", "FocalLoss"])
@pytest.mark.parametrize("weighted", [False, True])
def test_compiles_as_one_graph(name, weighted):
    for background in LOSS_REGISTRY.get(name).backgrounds:
        torch.compiler.reset()
        loss, plain = make(name, background), make(name, background)
        logits, labels = batch(loss)
        weights = torch.rand(N) if weighted else None
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        for _ in range(2):
            losses, expected = compiled(logits, labels, weights), plain(logits, labels, weights)
            for key, value in losses.items():
                torch.testing.assert_close(value, expected[key])
        gradients = [torch.autograd.grad(total(each), logits)[0] for each in (losses, expected)]
        torch.testing.assert_close(*gradients)
        assert_same_state(state(loss), state(plain))


@pytest.mark.parametrize("name", ["PairwiseClassBalance", "GumbelOptimizedLoss"])
def test_a_compiled_loss_does_not_change_in_each_step(name):
    """Test that counters for warnings do not recompile the loss in each step, until PyTorch no longer compiles it."""
    torch.compiler.reset()
    loss, plain = make(name, "none"), make(name, "none")
    if name == "GumbelOptimizedLoss":
        loss.weighting = plain.weighting = "none"
    logits, labels = batch(loss)
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    for _ in range(torch._dynamo.config.recompile_limit + 2):
        torch.testing.assert_close(compiled(logits, labels), plain(logits, labels))
    assert_same_state(state(loss), state(plain))


@pytest.mark.parametrize("value", [0, -1, 2.5, 2.0, "3", None, True, float("nan")])
def test_the_number_of_classes_is_a_positive_integer(value):
    with pytest.raises(ValueError, match=f"^num_classes: expected an integer >= 1, found {value!r}$"):
        CrossEntropyLoss(value)


@pytest.mark.parametrize("values", ["online", ["a"] * C, [[1], [2, 3]], 5])
@pytest.mark.parametrize("name", ["SeesawLoss", "ClassBalancedFocalLoss", "FederatedLoss"])
def test_counts_that_are_no_numbers_are_named(name, values):
    argument = {"SeesawLoss": "class_counts", "FederatedLoss": "image_counts"}.get(name, "instance_counts")
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        LOSS_REGISTRY.get(name)(C, **{argument: values})


@pytest.mark.parametrize("shares", [[0.5, 0.3, 0.1, 0.05, 0.04, 0.01], torch.tensor([0, 3, 4, 5, 6, 0.5])])
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, argument)
        for name in LOSSES
        for argument, statistic in LOSS_REGISTRY.get(name).statistics_keys.items()
        if statistic in ("image_count", "instance_count")
    ],
)
def test_shares_are_no_counts(name, argument, shares):
    loss_class = LOSS_REGISTRY.get(name)
    others = dict.fromkeys(loss_class.statistics_keys, None)
    options = {"counts": "instances"} if (name, argument) == ("InverseImageFrequencyLoss", "instance_counts") else {}
    with pytest.raises(ValueError, match=rf"^{argument}: expected {C} counts.*found 0\.5 for category"):
        loss_class(C, **{**others, **options, argument: shares})
