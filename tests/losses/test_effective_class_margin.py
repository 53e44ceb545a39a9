"""Test that EffectiveClassMarginLoss equals the paper's equations and the numbers of the reference."""

import pytest
import torch

from seesaw_d2.losses import EffectiveClassMarginLoss
from tests import golden
from tests.losses.batches import gradient, random_batch
from tests.reference.effective_class_margin import effective_class_margin

C, COUNTS = 4, [1, 10, 100, 1000]
# Rounding error of log((1 + a) / a), which the reference computes.
WEIGHTS = {"rtol": 5e-9, "atol": 1e-12}


def test_the_papers_equations():
    loss = EffectiveClassMarginLoss(C, instance_counts=COUNTS, background_ratio=3.0)
    logits, labels = random_batch(C + 1, C)
    rows = zip(logits.tolist(), labels.tolist(), strict=True)
    expected = sum(effective_class_margin(z, label, COUNTS, 3.0) for z, label in rows) / len(labels)
    assert loss(logits, labels)["loss_cls"].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", ["ecm_C6", "ecm_C30"])
def test_the_references_numbers(name):
    arrays = golden.load(name, "golden2")
    num_classes = len(arrays["class_counts"])
    loss = EffectiveClassMarginLoss(num_classes, instance_counts=arrays["class_counts"])
    golden.assert_matches(loss.class_weights, arrays["buf_detection_cls_weight"][0], WEIGHTS)
    golden.assert_matches(4 * loss.margins, 4 * (arrays["buf_pos_w"] - arrays["buf_neg_w"])[0], WEIGHTS)
    scale = {"ecm_C6": 1.0, "ecm_C30": 1.5}[name]  # loss_weight
    for index in range(5):
        call = golden.Call(arrays, f"call{index}")
        logits = call.tensor("logits").requires_grad_()
        losses = loss(logits, call.tensor("labels", torch.int64))
        golden.assert_matches(losses["loss_cls"] * scale, call["loss"], WEIGHTS)
        golden.assert_matches(gradient(losses, logits) * scale, call["grad"], WEIGHTS)
        golden.assert_matches(loss.probabilities(logits), call["scores"], golden.EXACT)


def test_the_weights_of_lvis():
    arrays = golden.load("ecm_lvis_v1_weights", "golden2")
    loss = EffectiveClassMarginLoss(1203, instance_counts=arrays["class_counts"])
    golden.assert_matches(loss.class_weights, arrays["buf_detection_cls_weight"], WEIGHTS)
    assert loss.class_weights.max() <= 1


def test_a_rarer_category_has_a_larger_weight_and_a_smaller_margin_logit():
    loss = EffectiveClassMarginLoss(C, instance_counts=COUNTS)
    assert loss.class_weights.diff().max() < 0
    assert loss.margins.diff().min() > 0
