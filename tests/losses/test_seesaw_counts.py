"""Test the class counts and the arguments of SeesawLoss."""

import numpy as np
import pytest
import torch

from seesaw_d2.losses import SeesawLoss
from tests.losses.test_seesaw import BACKGROUNDS, C, batch


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_counts_include_the_current_batch_whatever_the_weights(background):
    loss = SeesawLoss(C, background=background)
    logits, labels, weights = batch(loss)
    loss(logits, labels, torch.zeros_like(weights))
    assert loss.class_counts.tolist() == np.bincount(labels, minlength=loss.num_label_values).tolist()
    # The loss counts the batch first. Therefore, evaluating with the current counts gives the same value.
    first = SeesawLoss(C, background=background)(logits, labels, weights)
    torch.testing.assert_close(first, loss.eval()(logits, labels, weights), rtol=0, atol=0)


def test_counts_beyond_float32():
    loss = SeesawLoss(2)
    loss.class_counts[0] = 2**24
    loss(torch.zeros(1, 4), torch.tensor([0]))
    assert loss.class_counts[0] == 2**24 + 1


def test_a_category_without_samples_counts_as_one():
    z, label = torch.zeros(1, 2).double(), torch.tensor([0])
    none, one = (SeesawLoss(2, class_counts=[50, n]).log_factors(z, label) for n in (0, 1))
    assert torch.equal(none, one)
    assert none[0, 1].item() == pytest.approx(-0.8 * np.log(50))


@pytest.mark.parametrize("as_type", [list, np.array, torch.tensor])
def test_given_counts_are_used_as_they_are(as_type):
    given = as_type([5, 0, 7])
    loss = SeesawLoss(3, class_counts=given)
    assert loss.class_counts.dtype == torch.int64
    loss(torch.zeros(4, 5), torch.tensor([0, 1, 2, 3]))
    assert loss.class_counts.tolist()[:3] == [5, 0, 7]
    assert list(given) == [5, 0, 7]


def test_given_counts_are_a_copy():
    given = torch.tensor([5, 0, 7, 9])
    loss = SeesawLoss(3, class_counts=given)
    given[0] = 100
    assert loss.class_counts.tolist() == [5, 0, 7, 9]
    loss.class_counts[1] = 3
    assert given.tolist() == [100, 0, 7, 9]


def test_a_checkpoint_does_not_replace_given_counts():
    online, given = SeesawLoss(2), SeesawLoss(2, class_counts=[4, 5, 6])
    given.load_state_dict(online.state_dict())
    assert given.class_counts.tolist() == [4, 5, 6]
    online.load_state_dict(given.state_dict())
    assert online.class_counts.tolist() == [4, 5, 6]


def test_background_is_no_rarer_than_any_category_where_its_count_is_unknown():
    loss = SeesawLoss(3, background="class", class_counts=[4, 90, 5])
    assert loss.class_counts.tolist() == [4, 90, 5, 90]
    factors = loss.log_factors(torch.zeros(4, 4), torch.arange(4))
    assert (factors[:, 3] == 0).all()
    assert SeesawLoss(3, background="class", class_counts=[4, 9, 5, 7]).class_counts[3] == 7
    assert SeesawLoss(3, background="none", class_counts=[4, 9, 5]).class_counts.tolist() == [4, 9, 5]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ([1, 2], r"\(3,\) or \(4,\), found .*\(2,\)"),
        ([[1, 2, 3]], r"\(1, 3\)"),
        ([1, -2, 3], " -2"),
        ([0.5, 1, 2], "float32"),
        ([True, False, True], "torch.bool"),
    ],
)
def test_counts_that_do_not_fit(counts, found):
    with pytest.raises(ValueError, match=rf"class_counts: expected integers >= 0 of shape .*{found}"):
        SeesawLoss(3, class_counts=counts)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("p", -1, "a number >= 0, found -1"),
        ("p", float("nan"), "a number >= 0, found nan"),
        ("q", -0.1, "a number >= 0, found -0.1"),
        ("p", float("inf"), "a finite number >= 0, found inf"),
        ("q", float("inf"), "a finite number >= 0, found inf"),
        ("q", "two", "a number >= 0, found 'two'"),
        ("eps", 0, r"a number in \(0, 1\], found 0"),
        ("eps", 1.5, r"a number in \(0, 1\], found 1.5"),
    ],
)
def test_numbers_out_of_range(name, value, expected):
    with pytest.raises(ValueError, match=f"^{name}: expected {expected}$"):
        SeesawLoss(3, **{name: value})


def test_defaults_are_the_papers():
    loss = SeesawLoss(1203)
    assert (loss.p, loss.q, loss.eps, loss.background) == (0.8, 2.0, 0.01, "objectness")
    assert loss.num_logits == 1205
    assert loss.class_counts.shape == (1204,)
    assert not loss.class_counts.any()


def test_nothing_of_size_c_by_c():
    """Test that the largest allocated tensor has the size of the gradient, so that no tensor is C by C."""
    num_classes, largest = 4000, 0

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            for value in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(value, torch.Tensor):
                    largest = max(largest, value.numel())
            return result

    loss, logits = SeesawLoss(num_classes), torch.randn(8, num_classes + 2, requires_grad=True)
    with Sizes():
        sum(loss(logits, torch.arange(8) * 500).values()).backward()
    assert largest == logits.numel()


def test_one_sample_by_hand():
    """Test one sample by hand: C = 2, label 0, z = (0, log 3), σ = (1/4, 3/4), S = (10/20)^0.8 3^2."""
    loss = SeesawLoss(2, background="none", class_counts=[20, 10])
    logits = torch.tensor([[0.0, np.log(3.0)]]).double()
    expected = np.log(1 + (10 / 20) ** 0.8 * 3**2 * 3)
    assert loss(logits, torch.tensor([0]))["loss_cls"].item() == pytest.approx(expected)
