"""SeesawLoss: identities, the paper's equations, counting."""

import numpy as np
import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, SeesawLoss
from tests.reference import seesaw as reference

C, N = 7, 20
BACKGROUNDS = ["objectness", "class", "none"]


def batch(loss, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(N, loss.num_logits, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, loss.num_label_values, (N,), generator=generator)
    weights = torch.rand(N, generator=generator, dtype=torch.float64)
    weights[::5] = 0
    return logits.requires_grad_(), labels, weights


def force_rows(monkeypatch, gathers):
    monkeypatch.setattr(SeesawLoss, "_gathers_rows", staticmethod(lambda device: gathers))


@pytest.mark.parametrize("gathers", [True, False])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_without_exponents_it_is_cross_entropy(background, gathers, monkeypatch):
    force_rows(monkeypatch, gathers)
    loss = SeesawLoss(C, p=0, q=0, background=background)
    logits, labels, weights = batch(loss)
    results = []
    for each in (loss, CrossEntropyLoss(C, background=background)):
        losses = each(logits, labels, weights)
        results.append((losses, torch.autograd.grad(sum(losses.values()), logits)))
    torch.testing.assert_close(*results, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_equal_counts_and_no_mistakes_are_cross_entropy(background):
    """S = 1 also where the exponents are not 0: with all counts equal and the label's logit the largest."""
    num_entries = C + (background == "class")
    loss = SeesawLoss(C, background=background, class_counts=[9] * num_entries)
    logits, labels, weights = batch(loss)
    entries = loss.num_logits - 2 * (background == "objectness")
    with torch.no_grad():
        logits[torch.arange(N), labels.clamp(max=entries - 1)] = 100
    expected = CrossEntropyLoss(C, background=background)(logits, labels, weights)
    torch.testing.assert_close(loss(logits, labels, weights), expected)


@pytest.mark.parametrize("gathers", [True, False])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("p", "q", "eps"), [(0.8, 2, 0.01), (0, 2, 0.3), (1.5, 0, 0.01), (1, 0.5, 1e-6)])
def test_literal_equations(p, q, eps, seed, gathers, monkeypatch):
    force_rows(monkeypatch, gathers)
    loss = SeesawLoss(C, p=p, q=q, eps=eps)
    logits, labels, weights = batch(loss, seed)
    loss.class_counts[:3] = torch.tensor([1000, 50, 3])
    losses = loss(logits, labels, weights, 5.0)
    literal = reference.seesaw_objectness(
        logits.detach().numpy(), labels.tolist(), weights.tolist(), loss.class_counts.tolist(), 5.0, p, q, eps
    )
    for key, value, gradient in zip(losses, literal[:2], literal[2:], strict=True):
        assert losses[key].item() == pytest.approx(value, rel=1e-12)
        (grad,) = torch.autograd.grad(losses[key], logits, retain_graph=True)
        np.testing.assert_allclose(grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("background", ["class", "none"])
def test_literal_equations_without_objectness(background):
    loss = SeesawLoss(C, background=background)
    logits, labels, weights = batch(loss)
    losses = loss(logits, labels, weights)
    counts = loss.class_counts.tolist()
    values = [
        reference.seesaw(z, label, counts, 0.8, 2.0, 0.01)[0]
        for z, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    expected = np.dot(values, weights) / np.count_nonzero(weights)
    assert losses["loss_cls"].item() == pytest.approx(expected, rel=1e-12)


def test_log_factors_are_literal_and_zero_at_the_label():
    loss = SeesawLoss(C, class_counts=[1000, 100, 10, 1, 0, 0, 5])
    logits, labels, _ = batch(loss)
    z, labels = logits.detach()[:, :C], labels.clamp(max=C - 1)
    factors = loss.log_factors(z, labels)
    literal = [
        reference.balance(row, label, loss.class_counts.tolist(), 0.8, 2.0, 0.01)
        for row, label in zip(z.tolist(), labels.tolist(), strict=True)
    ]
    np.testing.assert_allclose(factors.exp(), literal, rtol=1e-12)
    assert (factors.gather(1, labels[:, None]) == 0).all()


def test_gradcheck_with_the_factors_held_fixed(monkeypatch):
    """The gradient is that of cross-entropy on z + log S with S constant: S carries none."""
    loss = SeesawLoss(C).eval()
    logits, labels, weights = batch(loss)
    loss.class_counts[:3] = torch.tensor([1000, 50, 3])
    (grad,) = torch.autograd.grad(sum(loss(logits, labels, weights).values()), logits)

    foreground = labels < C
    fixed = loss.log_factors(logits.detach()[foreground, :C], labels[foreground])
    monkeypatch.setattr(loss, "log_factors", lambda logits, labels: fixed)

    def function(values):
        return sum(loss(values, labels, weights).values())

    assert torch.autograd.gradcheck(function, logits)
    torch.testing.assert_close(grad, torch.autograd.grad(function(logits), logits)[0], rtol=0, atol=0)


def test_mitigation_lowers_and_compensation_raises_punishment():
    counts = [1000, 10]
    z, label = torch.tensor([[0.0, 1.0]]).double(), torch.tensor([0])
    mitigated = SeesawLoss(2, q=0, class_counts=counts).log_factors(z, label)[0, 1]
    compensated = SeesawLoss(2, p=0, class_counts=counts).log_factors(z, label)[0, 1]
    assert mitigated.item() == pytest.approx(0.8 * np.log(10 / 1000))
    assert compensated.item() == pytest.approx(2 * 1.0)
    # The rare category's samples punish the frequent one in full.
    assert SeesawLoss(2, q=0, class_counts=counts).log_factors(z, torch.tensor([1]))[0, 0] == 0


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_counts_include_the_current_batch_whatever_the_weights(background):
    loss = SeesawLoss(C, background=background)
    logits, labels, weights = batch(loss)
    loss(logits, labels, torch.zeros_like(weights))
    assert loss.class_counts.tolist() == np.bincount(labels, minlength=loss.num_label_values).tolist()
    # The batch was counted before its loss: evaluating with the counts now gives the same.
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
        ([1, 2], r"\(3,\) or \(4,\), found \(2,\)"),
        ([[1, 2, 3]], r"\(1, 3\)"),
        ([1, -2, 3], "smallest -2"),
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
        ("p", float("inf"), "a number >= 0, found inf"),
        ("q", float("inf"), "a number >= 0, found inf"),
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
    """The largest tensor that is made is that of the gradient."""
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
    """C = 2, label 0, z = (0, log 3): σ = (1/4, 3/4), S = (10/20)^0.8 3^2."""
    loss = SeesawLoss(2, background="none", class_counts=[20, 10])
    logits = torch.tensor([[0.0, np.log(3.0)]]).double()
    expected = np.log(1 + (10 / 20) ** 0.8 * 3**2 * 3)
    assert loss(logits, torch.tensor([0]))["loss_cls"].item() == pytest.approx(expected)
