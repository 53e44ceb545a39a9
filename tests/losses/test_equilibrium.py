"""Test that EquilibriumLoss equals the paper's equations and the numbers of the reference."""

import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, EquilibriumLoss
from tests import golden
from tests.losses.batches import gradient, random_batch
from tests.reference.equilibrium import equilibrium, updated_mean_scores

C, N = 4, 12


def in_pairs(labels):
    """Return object numbers for pairs of proposals of a category: the first row of each pair. Background gets 0."""
    objects = torch.zeros_like(labels)
    for category in range(C):
        rows = (labels == category).nonzero().flatten()
        objects[rows] = rows[::2].repeat_interleave(2)[: len(rows)]
    return objects


@pytest.mark.parametrize("background", EquilibriumLoss.backgrounds)
@pytest.mark.parametrize("with_objects", [False, True])
def test_the_papers_equations(background, with_objects):
    loss = EquilibriumLoss(C, alpha=0.8, background_score=0.02, background=background)
    width = C + (background == "class")
    expected = [0.01] * C + [0.02] * (width - C)
    for seed in range(3):
        logits, labels = random_batch(loss.num_logits, C, seed=seed)
        labels = labels % C if background == "none" else labels
        objects = in_pairs(labels)
        losses = loss(logits, labels, objects=objects if with_objects else None)
        foreground = labels < C
        probs, numbers = logits[:, :width].softmax(dim=1), objects if with_objects else torch.arange(N)
        rows = (each[foreground].tolist() for each in (probs, labels, numbers))
        expected = updated_mean_scores(expected, *rows, 0.8)
        assert loss.mean_scores.tolist() == pytest.approx(expected, rel=1e-12)
        rows = zip(logits[:, :width].tolist(), labels.tolist(), strict=True)
        mean = sum(equilibrium(z, label, expected) for z, label in rows if label < width) / N
        assert next(iter(losses.values())).item() == pytest.approx(mean, rel=1e-10)
        plain = CrossEntropyLoss(C, background=background)
        assert torch.equal(loss.probabilities(logits), plain.probabilities(logits))


@pytest.mark.parametrize("name", golden.names("loce"))
def test_the_references_numbers(name):
    """Compare with the reference. The last rows come from the feature memory, where a category is one object."""
    arrays = golden.load(name, "golden2")
    loss = EquilibriumLoss(int(arrays["cfg_num_classes"]))
    for call in golden.calls(arrays):
        labels, logits = call.tensor("labels", torch.int64), call.tensor("logits").requires_grad_()
        objects = torch.zeros_like(labels)
        for image in range(2):
            numbers = call.tensor(f"img{image}_pos_assigned_gt_inds", torch.int64)
            start = image * int(arrays["cfg_rois_per_image"])
            objects[start : start + len(numbers)] = start + numbers
        stored = call.tensor("selected_labels", torch.int64)
        for category in stored.unique():
            rows = (stored == category).nonzero() + len(labels) - len(stored)
            objects[rows] = rows[0]
        losses = loss(logits, labels, avg_factor=call.avg_factor, objects=objects)
        golden.assert_matches(loss.mean_scores, call["mean_score_after"], golden.EXACT)
        golden.assert_matches(losses["loss_cls"], call["loss"], golden.EXACT)
        golden.assert_matches(gradient(losses, logits), call["grad"], golden.EXACT)


def test_equal_mean_scores_give_cross_entropy():
    logits, labels = random_batch(C + 1, C)
    torch.testing.assert_close(EquilibriumLoss(C).eval()(logits, labels), CrossEntropyLoss(C)(logits, labels))


def test_mean_scores_of_absent_categories_do_not_change():
    loss = EquilibriumLoss(C)
    logits, labels = random_batch(C + 1, C)
    loss(logits, labels.masked_fill(labels == 2, 1))
    before = loss.mean_scores.clone()
    assert (before == 0.01).tolist() == [False, False, True, False, True]
    for rows in (labels == C, labels < 0):  # only background, no proposals
        loss(logits[rows], labels[rows], objects=torch.zeros_like(labels[rows]))
        assert torch.equal(loss.mean_scores, before)


def test_a_category_that_is_never_recognized_keeps_a_finite_loss():
    loss = EquilibriumLoss(2, background="none")
    logits, labels = torch.tensor([[200.0, -200.0]] * 50), torch.ones(50, dtype=torch.int64)
    for _ in range(200):
        value = loss(logits, labels)["loss_cls"]
    assert loss.mean_scores[1] < 1e-100
    assert torch.isfinite(value)


@pytest.mark.parametrize(
    "objects", [torch.zeros(3, dtype=torch.int64), torch.zeros(N), torch.full((N,), -1), torch.full((N,), N)]
)
def test_objects_are_checked(objects):
    logits, labels = random_batch(C + 1, C, N)
    with pytest.raises(ValueError, match="objects: "):
        EquilibriumLoss(C)(logits, labels, objects=objects)


@pytest.mark.parametrize(("name", "value"), [("alpha", 1.0), ("alpha", -0.1), ("background_score", 0)])
def test_arguments_are_checked(name, value):
    with pytest.raises(ValueError, match=f"{name}: .*{value}"):
        EquilibriumLoss(C, **{name: value})
