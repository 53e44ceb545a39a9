"""Test EqualizationLossV2 against the paper's equations and both references, and its differences from them."""

import pytest
import torch
import torch.nn.functional as F

from seesaw_d2.losses import EqualizationLossV2
from tests import golden
from tests.losses.batches import gradient, random_batch
from tests.reference.equalization_v2 import EqualizationV2

C = 5
SETTINGS = {"gamma": 12.0, "mu": 0.8, "alpha": 4.0}
SEQUENCES = [
    ("eqlv2_C6_seq", True),
    ("eqlv2_C6_edge", True),
    ("eqlv2_C50_seq", False),
    ("eqlv2_mmdet_C7_seq", True),
    ("eqlv2_mmdet_C7_edge", True),
]
precisions = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, golden.EXACT), (torch.float32, golden.SINGLE)], ids=["f64", "f32"]
)


def test_the_papers_equations():
    loss, reference = EqualizationLossV2(C, **SETTINGS), EqualizationV2(C, **SETTINGS)
    for seed in range(4):
        logits, labels = random_batch(C + 1, C, seed=seed)
        losses = loss(logits, labels)
        value, grad = reference(logits.tolist(), labels.tolist(), len(labels))
        golden.assert_matches(losses["loss_cls"], value, golden.EXACT)
        golden.assert_matches(gradient(losses, logits), grad, golden.EXACT)
        golden.assert_matches(loss.positive_gradients, reference.positive, golden.EXACT)
        golden.assert_matches(loss.negative_gradients, reference.negative, golden.EXACT)


@precisions
@pytest.mark.parametrize(("name", "with_objectness"), SEQUENCES)
def test_the_references_numbers(name, with_objectness, dtype, tolerance):
    """Compare with both references. In eqlv2_C50, ``get_activation`` ignores the objectness in the scores."""
    arrays = golden.load(name)
    settings = {key: float(arrays[f"cfg_{key}"]) for key in SETTINGS}
    loss = EqualizationLossV2(int(arrays["cfg_num_classes"]), **settings)
    golden.assert_matches(loss.gradient_ratio(), arrays["init_pos_neg"], golden.EXACT)
    for call in golden.calls(arrays):
        logits = call.tensor("logits", dtype).requires_grad_()
        losses = loss(logits, call.tensor("labels", torch.int64))
        golden.assert_matches(losses["loss_cls"], call["out_loss_cls"], tolerance)
        golden.assert_matches(gradient(losses, logits), call["grad_total"], tolerance)
        golden.assert_matches(loss.positive_gradients, call["buf_pos_grad"], tolerance)
        golden.assert_matches(loss.negative_gradients, call["buf_neg_grad"], tolerance)
        golden.assert_matches(loss.gradient_ratio(), call["buf_pos_neg"], tolerance)
        scores = call.tensor("activation")
        if not with_objectness:
            scores[:, :-1] *= 1 - scores[:, -1:]
        golden.assert_matches(loss.probabilities(logits), scores, tolerance)


def test_mmdetection_scores_with_a_softmax_and_we_do_not():
    """Test a difference: MMDetection's box head does not call ``get_activation``, and computes a softmax of C + 1
    logits."""
    arrays = golden.load("eqlv2_mmdet_C7_seq")
    loss, call = EqualizationLossV2(7), golden.calls(arrays)[0]
    logits = call.tensor("logits")
    ours = loss.probabilities(logits)
    golden.assert_matches(ours, call["activation"], golden.EXACT)  # the reference computes this, but does not use it
    assert (ours - logits.softmax(dim=1)).abs().max() > 0.1


def test_at_first_it_is_binary_cross_entropy():
    """Test that without earlier gradients, all weights are f(100), which is 1 in double precision."""
    loss = EqualizationLossV2(C)
    logits, labels = random_batch(C + 1, C)
    targets = F.one_hot(labels, C + 1).double()
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(labels)
    torch.testing.assert_close(loss(logits, labels)["loss_cls"], expected)
    assert not torch.isclose(loss(logits, labels)["loss_cls"], expected, rtol=0.01)


def test_an_empty_first_batch_changes_nothing():
    """Test a difference: after an empty batch, the reference's ratio is 0 / 1e-10 = 0, as with only negatives."""
    loss = EqualizationLossV2(C)
    loss(torch.zeros(0, C + 1), torch.zeros(0, dtype=torch.int64))
    assert loss.gradient_ratio().tolist() == [100] * C


def test_small_gradients_are_not_lost_in_large_sums():
    """Test a difference: in float32, the reference's sums do not grow by gradients below their resolution."""
    loss = EqualizationLossV2(C)
    loss.negative_gradients.fill_(2.0**25)
    loss.positive_gradients.fill_(2.0**25)
    loss(torch.zeros(1, C + 1), torch.tensor([C]))
    assert (loss.negative_gradients > 2.0**25).all()
    assert torch.tensor(2.0**25) + 0.5 == 2.0**25


def test_scores_are_sigmoids_times_objectness():
    loss = EqualizationLossV2(C)
    logits, _ = random_batch(C + 1, C)
    probs, sigmoids = loss.probabilities(logits), logits.sigmoid()
    torch.testing.assert_close(probs[:, :C], sigmoids[:, :C] * (1 - sigmoids[:, C:]))
    torch.testing.assert_close(probs[:, C], sigmoids[:, C])


def test_image_classification_has_no_objectness():
    loss = EqualizationLossV2(C, background="none")
    logits, labels = random_batch(C, C)
    labels = labels.clamp(max=C - 1)
    loss(logits, labels)
    assert torch.equal(loss.positive_gradients > 0, torch.bincount(labels, minlength=C) > 0)
    torch.testing.assert_close(loss.probabilities(logits), logits.sigmoid())
