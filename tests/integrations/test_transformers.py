"""Test tiny models of transformers with the losses of this package, against their own losses."""

import copy

import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, EqualizationLossV2, FocalLoss, SeesawLoss

pytest.importorskip("transformers", reason='needs the extra "transformers"')

import transformers as hf

from seesaw_d2.integrations.transformers import use_loss
from tests.integrations.transformers_models import CLASSES, batch, losses, make

SOFTMAX = ["mask2former", "maskformer", "detr"]
SIGMOIDS = ["deformable_detr", "rf_detr"]


def plain_loss(name):
    return FocalLoss(CLASSES) if name in SIGMOIDS else SeesawLoss(CLASSES, p=0, q=0, background="class")


@pytest.mark.parametrize("name", [*SOFTMAX, "deformable_detr"])
def test_without_factors_the_model_keeps_its_losses(name):
    plain = make(name)
    ours = use_loss(copy.deepcopy(plain), plain_loss(name))
    (expected, parts), (found, own_parts) = losses(plain), losses(ours)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(own_parts, parts)
    for each in (expected, found):
        each.backward()
    for (parameter, value), other in zip(plain.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(other.grad, value.grad, rtol=1e-3, atol=1e-6, msg=parameter)


@pytest.mark.parametrize("name", SOFTMAX)
def test_seesaw_loss_is_used(name):
    first, second = (use_loss(make(name), SeesawLoss(CLASSES, background="class")) for _ in range(2))
    found, _ = losses(first)
    assert found != losses(make(name))[0]
    found.backward()
    counts = first.criterion.cls_loss.class_counts
    assert (counts[:CLASSES] == counts[0]).all()  # each category has one object
    assert counts[CLASSES] == 3 * counts[:CLASSES].sum()  # 12 queries, 3 objects
    assert counts[0] >= 1
    assert second.criterion.cls_loss.class_counts.sum() == 0
    first.eval()
    losses(first)
    assert first.criterion.cls_loss.class_counts.equal(counts)
    second.load_state_dict(first.state_dict())
    assert second.criterion.cls_loss.class_counts.equal(counts)


def test_a_model_in_evaluation_mode_does_not_count():
    model = make("detr").eval()  # as after from_pretrained
    use_loss(model, SeesawLoss(CLASSES, background="class"))
    losses(model)
    assert model.criterion.cls_loss.class_counts.sum() == 0
    model.train()
    losses(model)
    assert model.criterion.cls_loss.class_counts.sum() > 0


def test_a_copy_of_a_model_has_its_own_counts():
    model = use_loss(make("detr"), SeesawLoss(CLASSES, background="class"))
    losses(copy.deepcopy(model))
    assert model.criterion.cls_loss.class_counts.sum() == 0
    losses(model)
    assert model.criterion.cls_loss.class_counts.sum() > 0


def test_a_second_loss_replaces_the_first():
    model = use_loss(use_loss(make("detr"), SeesawLoss(CLASSES, background="class")), CrossEntropyLoss(CLASSES))
    torch.testing.assert_close(losses(model)[0], losses(make("detr"))[0])


def test_rf_detr_loses_the_iou_in_its_target_and_nothing_else():
    model = use_loss(make("rf_detr"), FocalLoss(CLASSES))
    (_, found), (_, expected) = losses(model), losses(make("rf_detr"))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.equal(expected[name]) != name.startswith("loss_ce"), name


def test_scores_are_those_of_the_model():
    model = use_loss(make("mask2former"), SeesawLoss(CLASSES, background="class")).eval()
    logits = model(pixel_values=batch(model)["pixel_values"]).class_queries_logits.flatten(0, 1)
    torch.testing.assert_close(model.criterion.cls_loss.probabilities(logits), logits.softmax(dim=1))


@pytest.mark.parametrize(
    ("name", "loss", "named"),
    [
        ("mask2former", SeesawLoss(CLASSES), 'background="class"'),
        ("detr", SeesawLoss(CLASSES), 'background="class"'),
        ("detr", SeesawLoss(CLASSES + 1, background="class"), f"num_classes={CLASSES}"),
        ("deformable_detr", SeesawLoss(CLASSES, background="class"), 'background="implicit"'),
        ("rf_detr", EqualizationLossV2(CLASSES), 'background="implicit"'),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(name, loss, named):
    model = make(name)
    with pytest.raises(ValueError, match=named):
        use_loss(model, loss)
    losses(model)


@pytest.mark.parametrize("name", ["RTDetrForObjectDetection", "BertForSequenceClassification"])
def test_models_with_other_criteria_are_refused(name):
    model = getattr(hf, name).__new__(getattr(hf, name))
    torch.nn.Module.__init__(model)
    model.loss_type = name
    with pytest.raises(ValueError, match=name):
        use_loss(model, FocalLoss(CLASSES))
