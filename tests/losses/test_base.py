"""Test ClassificationLoss: the order of updates, autocast, and averages."""

import pytest
import torch

from seesaw_d2.losses import ClassificationLoss


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
