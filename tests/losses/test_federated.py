"""Test FederatedLoss: the sampled categories, and the loss over these categories."""

import pytest
import torch
import torch.nn.functional as F

from seesaw_d2.losses import FederatedLoss
from tests import golden
from tests.losses.batches import assert_is_binary_cross_entropy, gradient, random_batch
from tests.reference.federated import federated_sigmoid, federated_softmax

C = 9
COUNTS = [0, 1, 4, 9, 16, 25, 36, 49, 64]
LABELS = torch.tensor([3, 3, 5, C])


def make(num_sampled=5, **arguments):
    return FederatedLoss(C, image_counts=COUNTS, num_sampled=num_sampled, **arguments)


def categories(loss, labels=LABELS):
    return set(loss.select(labels).nonzero().squeeze(1).tolist())


def test_the_batchs_own_categories_are_always_among_them():
    for seed in range(20):
        chosen = categories(make(seed=seed))
        assert {3, 5} <= chosen
        assert len(chosen) == 5
        assert 0 not in chosen  # category 0 has no images


def test_more_categories_in_the_batch_than_places():
    assert categories(make(num_sampled=1)) == {3, 5}
    assert categories(make(num_sampled=1), torch.tensor([0, 1, 2])) == {0, 1, 2}
    assert categories(make(num_sampled=100)) == set(range(1, C))


def test_the_draw_is_proportional_to_the_power_of_the_image_count():
    """Test that if one category is drawn in addition to category 1 of the batch, frequencies equal probabilities of a
    single draw."""
    loss, labels, draws = make(num_sampled=2), torch.tensor([1]), 4000
    counts = torch.zeros(C)
    for _ in range(draws):
        loss.random.next_batch()
        counts += loss.select(labels)
    counts[1] = 0
    weights = torch.tensor(COUNTS).sqrt()
    weights[1] = 0
    expected = draws * weights / weights.sum()
    assert counts[0] == 0
    assert ((counts - expected).abs() <= 4.5 * expected.sqrt()).all()


@pytest.mark.parametrize("background", ["implicit", "class"])
def test_the_definition(background):
    loss = make(background=background)
    logits, labels = random_batch(loss.num_logits, C, num_proposals=4)
    labels = LABELS
    value = loss(logits, labels)
    reference = federated_sigmoid if background == "implicit" else federated_softmax
    expected = reference(logits.tolist(), labels.tolist(), categories(loss), len(labels))
    golden.assert_matches(value["loss_cls"], expected, golden.EXACT)
    unused = [j for j in range(C) if j not in categories(loss)]
    assert unused
    assert not gradient(value, logits)[:, unused].any()


def test_with_every_category_it_is_binary_cross_entropy():
    counts = [1] * C
    loss = FederatedLoss(C, image_counts=counts, num_sampled=C)
    assert_is_binary_cross_entropy(loss)


def test_with_every_category_the_softmax_is_cross_entropy():
    loss = FederatedLoss(C, image_counts=[1] * C, num_sampled=C, background="class")
    logits, labels = random_batch(C + 1, C)
    expected = F.cross_entropy(logits, labels)
    losses = loss(logits, labels)
    torch.testing.assert_close(losses["loss_cls"], expected)
    torch.testing.assert_close(gradient(losses, logits), torch.autograd.grad(expected, logits)[0])
    torch.testing.assert_close(loss.probabilities(logits), logits.softmax(dim=1))


def test_the_softmax_of_the_reference_is_plain_cross_entropy_and_ours_is_not():
    """Test a difference: CenterNet2 multiplies a proposal's loss by whether its category is sampled, which is always
    true."""
    loss = make(background="class")
    logits, _ = random_batch(C + 1, C, num_proposals=4)
    sampled = torch.cat([loss.eval().select(LABELS), torch.tensor([True])]).double()
    theirs = F.cross_entropy(logits, LABELS, weight=sampled)
    torch.testing.assert_close(theirs, F.cross_entropy(logits, LABELS))
    assert loss(logits, LABELS)["loss_cls"] < theirs - 0.01


def test_the_draw_is_another_one_in_every_batch_and_resumes():
    loss = make()
    draws = []
    for _ in range(6):
        loss.random.next_batch()
        draws.append(frozenset(categories(loss)))
        assert categories(loss) == draws[-1]
    assert len(set(draws)) > 1
    resumed = make()
    resumed.load_state_dict(loss.state_dict())
    assert categories(resumed) == draws[-1]


def test_power_zero_draws_alike():
    assert make(power=0).sampling_weights.tolist() == [0] + [1] * (C - 1)


def test_the_sigmoids_start_from_the_prior_and_the_softmax_from_zero():
    torch.testing.assert_close(make(prior=0.2).initial_bias().sigmoid(), torch.full((C,), 0.2))
    assert make(background="class").initial_bias() is None


@pytest.mark.parametrize("value", [0, 2.5, True])
def test_wrong_numbers(value):
    with pytest.raises(ValueError, match="num_sampled: expected"):
        make(num_sampled=value)
