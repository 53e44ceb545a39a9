"""Test BalancedGroupSoftmaxLoss against the paper's equations and the reference, and the selection of negatives."""

import re

import pytest
import torch
import torch.nn.functional as F

from seesaw_d2.losses import BalancedGroupSoftmaxLoss
from tests import golden
from tests.losses.batches import gradient, random_batch
from tests.reference.balanced_group_softmax import bags, scores

C = 7
COUNTS = [5, 9, 10, 99, 2000, 1000, 100]  # the categories are in the groups 0, 0, 1, 1, 3, 3, 2
GROUPS = [[0, 1], [2, 3], [6], [4, 5]]


def make(**arguments):
    return BalancedGroupSoftmaxLoss(C, instance_counts=COUNTS, **arguments)


def parts(logits):
    """Return class logits (N, C), others (N, G) and objectness (N, 2) as lists."""
    classes, objectness, others = logits.split([C, 2, 4], dim=1)
    return classes.tolist(), others.tolist(), objectness.tolist()


def test_the_groups():
    assert make().group.tolist() == [0, 0, 1, 1, 3, 3, 2]
    assert make().num_logits == C + 2 + 4
    assert make(bins=(100,)).group.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert make(bins=()).group.tolist() == [0] * C


def test_the_papers_section():
    loss = make(beta=1.0)
    logits, labels = random_batch(loss.num_logits, C, num_proposals=20)
    losses = loss(logits, labels)
    classes, others, objectness = parts(logits)
    expected = bags(classes, others, objectness, labels.tolist(), GROUPS, loss.select(labels).T.tolist())
    golden.assert_matches(losses["loss_cls_classes"], expected[0], golden.EXACT)
    golden.assert_matches(losses["loss_cls_objectness"], expected[1], golden.EXACT)
    rows = zip(classes, others, objectness, strict=True)
    golden.assert_matches(loss.probabilities(logits), [scores(*row, GROUPS) for row in rows], golden.EXACT)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, golden.EXACT), (torch.float32, golden.SINGLE)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("name", ["bags_C14", "bags_C14_beta2"])
def test_the_references_numbers(name, dtype, tolerance, monkeypatch):
    """Use the selection that the reference drew with NumPy, and its order of columns: [others, categories] of each
    group."""
    arrays = golden.load(name)
    loss = BalancedGroupSoftmaxLoss(
        14,
        instance_counts=arrays["instance_count"],
        bins=tuple(arrays["cfg_bin_split"].tolist()),
        beta=float(arrays["cfg_beta"]),
    )
    assert loss.group.tolist() == arrays["group_of_class"][:-1].tolist()
    others, classes = torch.from_numpy(arrays["others_column"]), torch.from_numpy(arrays["class_column"])
    columns = torch.cat([classes[:-1], others[-1:], classes[-1:], others[:-1]])  # the last group is foreground
    for call in golden.calls(arrays):
        theirs = call.tensor("logits", dtype).requires_grad_()
        labels = call.tensor("labels", torch.int64)
        selected = call.tensor("sampled_weights", torch.bool)[:-1].T
        triggered = torch.from_numpy(call["sampling_triggered"])[:-1]
        ours = loss.select(labels)
        assert torch.equal(ours.sum(dim=0), selected.sum(dim=0))  # same number in every group
        assert torch.equal(ours[:, ~triggered], selected[:, ~triggered])  # same selection in groups without draws
        monkeypatch.setattr(loss, "select", lambda labels, selected=selected: selected)
        losses = loss(theirs[:, columns], labels)
        monkeypatch.undo()
        golden.assert_matches(sum(losses.values()), call["out_loss_cls"], tolerance)
        golden.assert_matches(gradient(losses, theirs), call["grad_total"], tolerance)
        golden.assert_matches(loss.probabilities(theirs[:, columns]), call["activation"], tolerance)


def test_the_selection():
    loss = make(beta=2.0)
    labels = torch.cat([torch.tensor([0, 1, 6]), torch.full((97,), C)])
    members, selected = loss.members(labels), loss.select(labels)
    assert (selected | ~members).all()
    assert selected.sum(dim=0).tolist() == [2 + 4, 0, 1 + 2, 0]  # groups without a member in the batch are not trained
    assert make(beta=0.4).select(labels).sum(dim=0).tolist() == [2, 0, 1, 0]  # int(0.8) = 0 others
    assert make(beta=1000.0).select(labels).sum(dim=0).tolist() == [100, 0, 100, 0]


def test_every_other_proposal_is_as_likely():
    loss = make(beta=10.0)
    labels = torch.cat([torch.tensor([0]), torch.full((40,), C)])
    counts = torch.zeros(41)
    for _ in range(2000):
        loss.random.next_batch()
        counts += loss.select(labels)[:, 0]
    assert counts[0] == 2000
    # 2000 draws of 10 out of 40 have the mean 500 and the standard deviation 19.4
    assert (counts[1:] - 500).abs().max() < 5 * 19.4


def test_the_selection_is_another_one_in_every_batch_and_resumes():
    loss = make(beta=1.0)
    labels = torch.cat([torch.arange(C), torch.full((40,), C)])
    seen = []
    for _ in range(3):
        loss.random.next_batch()
        seen.append(loss.select(labels))
        assert torch.equal(seen[-1], loss.select(labels))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], make(beta=1.0, seed=1).select(labels))
    resumed = make(beta=1.0)
    resumed.load_state_dict(loss.state_dict())
    assert torch.equal(resumed.select(labels), seen[-1])


def test_one_group_with_all_others_is_softmax_over_others_too():
    loss = make(bins=(), beta=1e9)
    logits, labels = random_batch(loss.num_logits, C)
    columns = torch.cat([logits[:, :C], logits[:, -1:]], dim=1)
    expected = {
        "loss_cls_classes": F.cross_entropy(columns, labels),
        "loss_cls_objectness": F.cross_entropy(logits[:, C : C + 2], (labels == C).long()),
    }
    torch.testing.assert_close(loss(logits, labels), expected)


def test_weights_and_avg_factor():
    loss = make(beta=1e9).eval()
    logits, labels = random_batch(loss.num_logits, C)
    weights = torch.ones(len(labels))
    weights[3] = 0
    keep = weights > 0
    torch.testing.assert_close(loss(logits, labels, weights), loss(logits[keep], labels[keep]))
    doubled = {key: 2 * value for key, value in loss(logits, labels).items()}
    torch.testing.assert_close(loss(logits, labels, 2 * torch.ones(len(labels))), doubled)
    halved = {key: value / 2 for key, value in loss(logits, labels).items()}
    torch.testing.assert_close(loss(logits, labels, None, 2 * len(labels)), halved)


def test_gradients():
    loss = make(beta=1.0).eval()
    logits, labels = random_batch(loss.num_logits, C)
    assert torch.autograd.gradcheck(lambda values: tuple(loss(values, labels).values()), logits)


def test_groups_come_from_the_checkpoint(caplog):
    """Test that instance counts of another dataset do not change the groups of a trained classifier."""
    trained, other = make(), BalancedGroupSoftmaxLoss(C, instance_counts=[1] * C)
    other.load_state_dict(trained.state_dict())
    logits, _ = random_batch(trained.num_logits, C)
    torch.testing.assert_close(other.probabilities(logits), trained.probabilities(logits))
    assert re.search(r"groups of the loaded checkpoint.*bins=\(10\.0, 100\.0, 1000\.0\)", caplog.text)
    caplog.clear()
    make().load_state_dict(trained.state_dict())
    assert not caplog.text


@pytest.mark.parametrize("saved", [make(), BalancedGroupSoftmaxLoss(C, instance_counts=None, bins=())], ids=["4", "-"])
def test_groups_of_another_number_of_bins_are_not_loaded(saved):
    loss = make(bins=(100,))
    loss.load_state_dict(saved.state_dict())
    assert torch.equal(loss.group, make(bins=(100,)).group)
    unknown = BalancedGroupSoftmaxLoss(C, instance_counts=None, bins=(100,))
    unknown.load_state_dict(saved.state_dict())
    with pytest.raises(ValueError, match="instance_counts"):
        unknown.probabilities(torch.zeros(1, unknown.num_logits))


@pytest.mark.parametrize("bins", [(10, 10), (100, 10), (0, 10), ("x",), 10])
def test_wrong_bins(bins):
    with pytest.raises(ValueError, match="bins: expected"):
        make(bins=bins)
