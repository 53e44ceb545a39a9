"""Test ClassificationLoss: the order of updates, autocast, and averages."""

import pytest
import torch

from seesaw_d2.losses import (
    ClassificationLoss,
    CrossEntropyLoss,
    EqualizationLossV2,
    PairwiseClassBalance,
    SeesawLoss,
    soft_label_loss,
)


class Probe(ClassificationLoss):
    """Record the arguments of the methods of a loss. The loss computes a matrix product, which autocast would round."""

    def __init__(self, background="class"):
        super().__init__(3, background=background)
        self.order = []

    def compute(self, logits, labels, weights, avg_factor):
        self.order.append("compute")
        self.weights, self.avg_factor = weights, avg_factor
        self.product = logits @ logits.T
        return {"loss_cls": self.product.sum() / avg_factor}

    def update_statistics(self, logits, labels):
        self.order.append("update")
        self.detached = not logits.requires_grad and not torch.is_grad_enabled()


class UpdatesLast(Probe):
    updates_first = False


LOGITS, LABELS = torch.randn(4, 4, requires_grad=True), torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("loss_class", "order"), [(Probe, ["update", "compute"]), (UpdatesLast, ["compute", "update"])]
)
def test_statistics_are_updated_in_the_methods_order_and_in_training_only(loss_class, order):
    loss = loss_class()
    loss(LOGITS, LABELS)
    assert loss.order == order
    assert loss.detached
    loss.eval()(LOGITS, LABELS)
    assert loss.order == [*order, "compute"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_is_off_inside(dtype):
    loss = Probe()
    with torch.autocast("cpu", dtype=dtype):
        loss(LOGITS, LABELS)
        assert loss.product.dtype == torch.float32
        assert (LOGITS @ LOGITS.T).dtype == dtype
    torch.testing.assert_close(loss.product, LOGITS @ LOGITS.T)


@pytest.mark.parametrize(
    ("weights", "expected"), [(None, 4), ([0, 2, 0.5, 0], 2), ([0, 0, 0, 0], 1), ([1, 1, 1, 1], 4)]
)
def test_the_default_avg_factor_counts_positive_weights(weights, expected):
    loss = Probe()
    loss(LOGITS, LABELS, None if weights is None else torch.tensor(weights))
    assert loss.avg_factor == expected


def test_weights_and_avg_factor_get_the_logits_type():
    loss = Probe()
    loss(LOGITS.double(), LABELS, torch.ones(4, dtype=torch.int64), torch.tensor(3))
    assert loss.weights.dtype == loss.avg_factor.dtype == torch.float64


@pytest.mark.parametrize(
    ("background", "num_logits", "num_label_values"), [("objectness", 5, 4), ("class", 4, 4), ("none", 3, 3)]
)
def test_widths(background, num_logits, num_label_values):
    loss = Probe(background)
    assert (loss.num_logits, loss.num_label_values) == (num_logits, num_label_values)


class Returns(CrossEntropyLoss):
    """Return a value from ``compute`` that a constructor argument defines."""

    def __init__(self, result):
        super().__init__(3, background="none")
        self.result = result

    def compute(self, logits, labels, weights, avg_factor, targets=None):
        return self.result


_CALLS = {
    "labels": lambda loss: loss(LOGITS[:, :3], LABELS % 3),
    "ignored label": lambda loss: loss(LOGITS[:, :3], LABELS % 3, ignore_index=9),
    "soft labels": lambda loss: soft_label_loss(loss, LOGITS[:, :3], torch.full((4, 3), 1 / 3)),
    "wrapped": lambda loss: PairwiseClassBalance(3, loss=loss)(LOGITS[:, :3], LABELS % 3),
}


@pytest.mark.parametrize("call", _CALLS)
@pytest.mark.parametrize(
    ("result", "found"),
    [
        (torch.tensor(1.0), "Tensor"),
        (None, "NoneType"),
        ({}, r"\{\}"),
        ({"loss_cls": 1.0}, "float for 'loss_cls'"),
        ({"loss_cls": torch.ones(4)}, r"shape \(4,\) for 'loss_cls'"),
        ({"loss": torch.tensor(1.0)}, "'loss'"),
    ],
)
def test_a_wrong_result_of_compute_names_the_loss(call, result, found):
    with pytest.raises(ValueError, match=rf"^Returns\.compute: .*loss_cls.*found .*{found}$"):
        _CALLS[call](Returns(result))


def test_maps_have_a_single_loss():
    two = {"loss_cls": torch.tensor(1.0), "loss_cls_other": torch.tensor(1.0)}
    with pytest.raises(ValueError, match=r"^Returns\.compute: .*found loss_cls, loss_cls_other$"):
        _CALLS["ignored label"](Returns(two))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_infinite_values_are_no_integers(dtype):
    """Test that counts above 65504 are not replaced by arbitrary integers if a state dict has half precision."""
    loss = SeesawLoss(2)
    loss.class_counts += 100_000
    state = {name: value.to(dtype) for name, value in loss.state_dict().items()}
    if dtype == torch.float16:
        with pytest.raises(RuntimeError, match=r"loss\.class_counts: expected integers, found infinity .*float16"):
            torch.nn.ModuleDict({"loss": SeesawLoss(2)}).load_state_dict({f"loss.{key}": state[key] for key in state})
    else:
        other = SeesawLoss(2)
        other.load_state_dict(state)
        assert torch.equal(other.class_counts, loss.class_counts)


def test_assigned_values_get_the_type_of_the_buffers():
    """Test that sums stay float64 and counts int64 if ``load_state_dict`` assigns the tensors of a state dict."""
    saved = {"eql": EqualizationLossV2(2), "seesaw": SeesawLoss(2)}
    for loss in saved.values():
        loss(torch.zeros(2, loss.num_logits), torch.tensor([0, 1]))
        other = type(loss)(2)
        types = {name: value.dtype for name, value in other.state_dict().items()}
        other.load_state_dict({name: value.half() for name, value in loss.state_dict().items()}, assign=True)
        assert {name: value.dtype for name, value in other.state_dict().items()} == types
        torch.testing.assert_close(other.state_dict(), loss.state_dict(), rtol=1e-3, atol=0)
