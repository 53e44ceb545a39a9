"""Test that PairwiseClassBalance reproduces losses, gradients, buffers and scores of the authors' code."""

import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, EqualizationLossV2, PairwiseClassBalance, SeesawLoss
from tests import golden
from tests.reference import pcb as reference
from tests.reference.authors_pcb import AuthorsCrossEntropyPCB

FILES = ["C6_seq", "C6_edge", "C6_cold_start", "C5_before_start_epoch", "C30_seq"]
PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, golden.EXACT), (torch.float32, golden.SINGLE)], ids=["f64", "f32"]
)


def seesaw(arrays):
    settings = {key: float(arrays[f"cfg_{key}"]) for key in ("p", "q", "eps") if f"cfg_{key}" in arrays}
    loss = SeesawLoss(int(arrays["cfg_num_classes"]), **settings)
    loss.class_counts.copy_(torch.as_tensor(arrays["init_cum_samples"]).long())
    return loss


def eqlv2(arrays):
    settings = {"gamma": "cfg_gamma", "mu": "cfg_mu", "alpha": "cfg_eql_alpha"}
    settings = {argument: float(arrays[key]) for argument, key in settings.items() if key in arrays}
    return EqualizationLossV2(int(arrays["cfg_num_classes"]), **settings)


WRAPPED = {
    "ce": lambda arrays: CrossEntropyLoss(int(arrays["cfg_num_classes"])),
    "seesaw": seesaw,
    "eqlv2": eqlv2,
}


def make(arrays, wrapped, loss_class=PairwiseClassBalance, dtype=torch.float64):
    """Return the loss in the state before the file's calls. Iterations are those of a head with ``n_iter``."""
    before = "cfg_start_epoch" in arrays and arrays["cfg_epoch"] < arrays["cfg_start_epoch"]
    loss = loss_class(
        int(arrays["cfg_num_classes"]),
        loss=WRAPPED[wrapped](arrays),
        alpha=float(arrays["cfg_alpha_pcb"]),
        momentum=float(arrays["cfg_momentum"]),
        start_iter=1000 if before else 0,
    ).to(dtype)
    loss.confusion.copy_(torch.as_tensor(arrays["init_fg_confusion_matrix"]))
    loss.seen_counts.copy_(torch.as_tensor(arrays["init_num_inst_cnt"]).long())
    loss.steps += 1  # a sequence of calls may start within a step
    return loss


def run(loss, arrays, call, dtype=torch.float64, weighted=True):
    """Return the losses of a call and the gradient of their sum. The authors' EQL v2 ignores weights and avg_factor."""
    loss.set_iteration(int(call["iter_id"]), int(arrays["cfg_n_iter"]))
    logits = call.tensor("logits", dtype).requires_grad_()
    weights = (call.tensor("weights", dtype), call.avg_factor) if weighted else ()
    losses = loss(logits, call.tensor("labels", torch.int64), *weights)
    return losses, torch.autograd.grad(sum(losses.values()), logits)[0]


def assert_buffers(loss, call, tolerance=golden.EXACT):
    golden.assert_matches(loss.confusion, call["buf_fg_confusion_matrix"], tolerance)
    assert loss.seen_counts.tolist() == call["buf_num_inst_cnt"].tolist()
    if call["buf_cum_samples"] is not None:
        assert loss.loss.class_counts.tolist() == call["buf_cum_samples"].tolist()
    if call["buf_pos_grad"] is not None:
        golden.assert_matches(loss.loss.positive_gradients, call["buf_pos_grad"], tolerance)
        golden.assert_matches(loss.loss.negative_gradients, call["buf_neg_grad"], tolerance)


def assert_scores(loss, call, dtype, tolerance):
    if call["activation"] is not None:
        golden.assert_matches(loss.probabilities(call.tensor("logits", dtype)), call["activation"], tolerance)


@PRECISIONS
@pytest.mark.parametrize("name", FILES)
def test_seesaw(name, dtype, tolerance):
    """Test the loss. The authors' hard and soft losses are one value in this project."""
    arrays = golden.load(f"pcb_seesaw_{name}")
    loss = make(arrays, "seesaw", dtype=dtype)
    for call in golden.calls(arrays):
        losses, grad = run(loss, arrays, call, dtype)
        soft = call["out_loss_pcb_classes"]
        classes = call["out_loss_cls_classes"] + (0 if soft is None else soft)
        golden.assert_matches(losses["loss_cls_classes"], classes, tolerance)
        golden.assert_matches(losses["loss_cls_objectness"], call["out_loss_cls_objectness"], tolerance)
        golden.assert_matches(grad, call["grad_total"], tolerance)
        assert_buffers(loss, call, tolerance)
        assert_scores(loss, call, dtype, tolerance)
        assert (loss._strength(dtype) > 0) == (bool(call["pcb_active"]) and call["iter_id"] > 0)


@PRECISIONS
@pytest.mark.parametrize("name", FILES)
def test_eql_v2(name, dtype, tolerance):
    arrays = golden.load(f"pcb_eqlv2_{name}")
    loss = make(arrays, "eqlv2", dtype=dtype)
    for call in golden.calls(arrays):
        losses, grad = run(loss, arrays, call, dtype, weighted=False)
        golden.assert_matches(losses["loss_cls"], call["out_loss_cls"], tolerance)
        golden.assert_matches(grad, call["grad_total"], tolerance)
        assert_buffers(loss, call, tolerance)
        assert_scores(loss, call, dtype, tolerance)


@PRECISIONS
@pytest.mark.parametrize("name", FILES)
def test_cross_entropy_with_the_authors_weights(name, dtype, tolerance):
    arrays = golden.load(f"pcb_ce_{name}")
    loss = make(arrays, "ce", AuthorsCrossEntropyPCB, dtype)
    for call in golden.calls(arrays):
        losses, grad = run(loss, arrays, call, dtype)
        golden.assert_matches(losses["loss_cls"], call["out_loss_cls"], tolerance)
        golden.assert_matches(grad, call["grad_total"], tolerance)
        assert_buffers(loss, call, tolerance)
        assert_scores(loss, call, dtype, tolerance)


@pytest.mark.parametrize("name", FILES)
def test_cross_entropy_and_ours(name):
    """Test a difference: weights apply to both parts, and the constant entropy of the soft labels is not subtracted.

    If all weights are 1, the gradient equals the authors', and the value equals the authors' plus this constant.
    """
    arrays = golden.load(f"pcb_ce_{name}")
    loss, compared = make(arrays, "ce"), 0
    for call in golden.calls(arrays):
        losses, grad = run(loss, arrays, call)
        assert_buffers(loss, call)
        rows = [call[key].tolist() for key in ("logits", "labels", "weights")]
        strength = float(loss._strength(torch.float64))
        ours = reference.softmax_loss(*rows, call.avg_factor, loss.confusion.tolist(), strength)
        golden.assert_matches(losses["loss_cls"], ours, golden.EXACT)
        if strength == 0:
            golden.assert_matches(losses["loss_cls"], call["out_loss_cls"], golden.EXACT)
            golden.assert_matches(grad, call["grad_total"], golden.EXACT)
            continue
        theirs = reference.authors_softmax_loss(*rows, call.avg_factor, loss.confusion.tolist(), strength)
        golden.assert_matches(theirs, call["out_loss_cls"], golden.EXACT)
        if (call["weights"] == 1).all():
            compared += 1
            golden.assert_matches(grad, call["grad_total"], golden.EXACT)
            labels = [label for label in rows[1] if label < loss.num_classes]
            constant = sum(
                reference.entropy(reference.fightback(loss.confusion.tolist(), i, "softmax")) for i in labels
            )
            golden.assert_matches(losses["loss_cls"], theirs + strength * constant / len(rows[1]), golden.EXACT)
        elif (call["labels"] < loss.num_classes).any():
            assert abs(losses["loss_cls"].item() - theirs) > 1e-4
    assert compared or name == "C5_before_start_epoch"
