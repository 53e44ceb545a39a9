"""Test that SeesawLoss reproduces losses, gradients, counts and scores of mmdet 3.3.0."""

import pytest
import torch

from seesaw_d2.losses import SeesawLoss
from tests import golden

SEQUENCES = [
    f"seesaw_C{num_classes}_{exponents}_{kind}"
    for num_classes, every in ((5, ("p0.8_q0", "p0.8_q2", "p0_q2")), (50, ("p0.8_q0", "p0.8_q2", "p0_q2")))
    for exponents in every
    for kind in ("edge", "seq")
] + ["seesaw_C1203_p0.8_q2_edge", "seesaw_C1203_p0.8_q2_seq"]
KEYS = ("loss_cls_classes", "loss_cls_objectness")
# mmdet 3.3.0 adds this value to avg_factor.
REFERENCE_EPS = torch.finfo(torch.float32).eps


def make_loss(num_classes, counts, **arguments):
    loss = SeesawLoss(num_classes, **arguments)
    loss.class_counts.copy_(torch.as_tensor(counts).long())
    return loss


def run(loss, call, dtype, avg_factor):
    """Return the losses, the gradient of each loss, and the gradient of their sum."""
    logits = call.tensor("logits", dtype).requires_grad_()
    weights = call.tensor("weights", dtype)
    losses = loss(logits, call.tensor("labels", torch.int64), weights, avg_factor)
    grads = {key: torch.autograd.grad(losses[key], logits, retain_graph=True)[0] for key in KEYS}
    grads["total"] = torch.autograd.grad(sum(losses.values()), logits)[0]
    return losses, grads


@pytest.mark.parametrize("gathers", [True, False], ids=["gathered", "masked"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, golden.EXACT), (torch.float32, golden.SINGLE)],
    ids=["f64", "f32"],
)
@pytest.mark.parametrize("name", SEQUENCES)
def test_sequence_of_calls(name, dtype, tolerance, gathers, monkeypatch):
    monkeypatch.setattr(SeesawLoss, "_gathers_rows", staticmethod(lambda device: gathers))
    arrays = golden.load(name)
    settings = {key: float(arrays[f"cfg_{key}"]) for key in ("p", "q", "eps")}
    num_classes = int(arrays["cfg_num_classes"])
    loss = make_loss(num_classes, arrays["init_cum_samples"], **settings)
    for call in golden.calls(arrays):
        losses, grads = run(loss, call, dtype, call.avg_factor + REFERENCE_EPS)
        for key in KEYS:
            golden.assert_matches(losses[key], call[f"out_{key}"], tolerance)
            if num_classes == 5:  # only this file has these arrays
                golden.assert_matches(grads[key], call[f"grad_{key}"], tolerance)
        golden.assert_matches(grads["total"], call["grad_total"], tolerance)
        assert loss.class_counts.tolist() == call["buf_cum_samples"].tolist()
        if call["activation"] is not None or num_classes < 1203:
            scores = loss.probabilities(call.tensor("logits", dtype))
            golden.assert_matches(scores, call["activation"], tolerance)


def variant(index):
    """Return a call of the file of variants and its loss with the counts before the call."""
    arrays = golden.load("seesaw_C5_variants")
    call = golden.calls(arrays)[index]
    settings = {key: float(call[f"set_{key}"]) for key in ("p", "q", "eps")}
    loss = make_loss(int(arrays["cfg_num_classes"]), call["init_cum_samples"], **settings)
    return call, loss, float(call["set_loss_weight"])


def rows(call):
    """Return the number of proposals and of foreground proposals."""
    return len(call["labels"]), int((call["labels"] < 5).sum())


@pytest.mark.parametrize("index", [4, 5, 6, 7, 9])
def test_settings_with_an_avg_factor(index):
    call, loss, loss_weight = variant(index)
    losses, grads = run(loss, call, torch.float64, call.avg_factor + REFERENCE_EPS)
    for key in KEYS:
        golden.assert_matches(loss_weight * losses[key], call[f"out_{key}"], golden.EXACT)
        golden.assert_matches(loss_weight * grads[key], call[f"grad_{key}"], golden.EXACT)
    golden.assert_matches(loss_weight * grads["total"], call["grad_total"], golden.EXACT)
    assert loss.class_counts.tolist() == call["buf_cum_samples"].tolist()


@pytest.mark.parametrize("index", [0, 1, 10])
def test_without_avg_factor_the_reference_averages_each_loss_over_its_own_rows(index):
    """Test a difference: this project divides both losses by the number of proposals with positive weight."""
    call, loss, loss_weight = variant(index)
    assert call.avg_factor is None
    sums, grads = run(loss, call, torch.float64, 1)
    num_rows, num_foreground = rows(call)
    # Numbers of the reference.
    for key, divisor in zip(KEYS, (max(num_foreground, 1), num_rows), strict=True):
        golden.assert_matches(loss_weight * sums[key] / divisor, call[f"out_{key}"], golden.EXACT)
        golden.assert_matches(loss_weight * grads[key] / divisor, call[f"grad_{key}"], golden.EXACT)
    # Numbers of this project.
    positive = num_rows if call["weights"] is None else int((call["weights"] > 0).sum())
    loss.class_counts.copy_(torch.as_tensor(call["init_cum_samples"]).long())
    ours, _ = run(loss, call, torch.float64, None)
    for key in KEYS:
        golden.assert_matches(ours[key], sums[key].detach() / positive, golden.EXACT)


def test_reduction_sum_is_an_avg_factor_of_one():
    call, loss, _ = variant(2)
    losses, grads = run(loss, call, torch.float64, 1)
    for key in KEYS:
        golden.assert_matches(losses[key], call[f"out_{key}"], golden.EXACT)
        golden.assert_matches(grads[key], call[f"grad_{key}"], golden.EXACT)


def test_reduction_none_is_one_proposal_at_a_time():
    call, loss, _ = variant(3)
    _, grads = run(loss, call, torch.float64, 1)
    logits, labels, weights = (
        call.tensor("logits"),
        call.tensor("labels", torch.int64),
        call.tensor("weights"),
    )
    loss.eval()  # use the counts of the whole batch for every proposal
    each = [loss(logits[[n]], labels[[n]], weights[[n]], 1) for n in range(len(labels))]
    foreground = [losses["loss_cls_classes"] for losses, label in zip(each, labels, strict=True) if label < 5]
    golden.assert_matches(torch.stack(foreground), call["out_loss_cls_classes"], golden.EXACT)
    objectness = torch.stack([losses["loss_cls_objectness"] for losses in each])
    golden.assert_matches(objectness, call["out_loss_cls_objectness"], golden.EXACT)
    for key in KEYS:
        golden.assert_matches(grads[key], call[f"grad_{key}"], golden.EXACT)


def test_return_dict_false_is_the_sum():
    call, loss, _ = variant(8)
    losses, grads = run(loss, call, torch.float64, call.avg_factor + REFERENCE_EPS)
    golden.assert_matches(sum(losses.values()), call["out_loss_cls"], golden.EXACT)
    golden.assert_matches(grads["total"], call["grad_loss_cls"], golden.EXACT)
    golden.assert_matches(grads["total"], call["grad_total"], golden.EXACT)


def test_every_variant_is_covered():
    assert len(golden.calls(golden.load("seesaw_C5_variants"))) == 11  # the tests above use 0 to 10


@pytest.mark.parametrize("rank", [0, 1])
def test_one_rank_of_the_reference_counts_alone(rank):
    """Test a difference: the ranks of the reference have different counts, as this project with sync=False.

    The numbers are from PCB. From the second iteration on, PCB adds another loss, and the class loss has the factor
    1 - alpha iter_id / (n_iter - 1).
    """
    arrays = golden.load("two_rank_seesaw_C5")
    loss = make_loss(5, arrays["init_cum_samples"], sync=False)
    for index, call in enumerate(golden.calls(arrays, f"rank{rank}_")):
        losses, grads = run(loss, call, torch.float64, call.avg_factor)
        share = 1 - float(arrays["cfg_alpha_pcb"]) * int(call["iter_id"]) / (int(arrays["cfg_n_iter"]) - 1)
        golden.assert_matches(share * losses["loss_cls_classes"], call["out_loss_cls_classes"], golden.EXACT)
        golden.assert_matches(losses["loss_cls_objectness"], call["out_loss_cls_objectness"], golden.EXACT)
        if index == 0:  # later gradients include those of the other loss
            golden.assert_matches(grads["total"], call["grad_total"], golden.EXACT)
        assert loss.class_counts.tolist() == call["buf_cum_samples"].tolist()
