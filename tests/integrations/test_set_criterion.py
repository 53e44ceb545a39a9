"""Test the criteria of DETR, Mask2Former and their successors with the losses of this package, against their own."""

import copy
import pickle
import re
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn

from seesaw_d2.integrations.set_criterion import check_fits, query_labels, query_loss, use_loss
from seesaw_d2.losses import (
    BalancedGroupSoftmaxLoss,
    ClassBalancedFocalLoss,
    CrossEntropyLoss,
    EqualizationLoss,
    EqualizationLossV2,
    FocalLoss,
    GumbelOptimizedLoss,
    SeesawLoss,
)
from seesaw_d2.losses.argument_checks import object_labels
from tests.integrations.set_criteria import (
    DeformableDetrCriterion,
    DetrCriterion,
    Mask2FormerCriterion,
    RfDetrCriterion,
    SetCriterion,
)
from tests.losses.test_contract import CASES, make
from tests.losses.test_contract import C as CLASSES

C, QUERIES = 4, 7
TARGETS = [{"labels": torch.tensor([2, 0, 2])}, {"labels": torch.tensor([], dtype=torch.int64)}]
LABELS = torch.tensor([[C, C, 0, C, 2, 2, C], [C] * QUERIES])


def match(outputs, targets):
    """Match query 4 with object 0, query 2 with object 1, and query 5 with object 2."""
    none = torch.tensor([], dtype=torch.int64)
    return [(torch.tensor([4, 2, 5]), torch.tensor([0, 1, 2])), (none, none)]


def outputs(num_logits, layers=2):
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(2, QUERIES, num_logits, generator=generator).requires_grad_() for _ in range(layers)]
    return {"pred_logits": made[0], "aux_outputs": [{"pred_logits": each} for each in made[1:]]}


SOFTMAX = [CrossEntropyLoss(C), SeesawLoss(C, p=0, q=0, background="class")]


def test_a_number_of_objects_that_is_a_keyword_is_refused():
    criterion = use_loss(DeformableDetrCriterion(C, match), FocalLoss(C))
    with pytest.raises(ValueError, match=r"loss_labels: expected .* positional argument, found .* num_boxes"):
        criterion.loss_labels(outputs(C), TARGETS, match(None, TARGETS), num_boxes=3)


def test_weights_in_half_precision_are_summed_in_float32():
    labels = torch.tensor([C, C, C, 0, C, C, 1, C]).repeat(40, 50)
    logits = torch.randn(*labels.shape, C + 1, generator=torch.Generator().manual_seed(0)).bfloat16()
    weights = torch.tensor([1.0] * C + [0.1]).bfloat16()
    found = query_loss(CrossEntropyLoss(C), logits, labels, class_weights=weights)
    expected = nn.functional.cross_entropy(logits.flatten(0, 1).double(), labels.flatten(), weights.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("criterion", "loss"),
    [
        *((Mask2FormerCriterion(C, match, eos), loss) for loss in SOFTMAX for eos in (0.1, 1.0)),
        (DetrCriterion(C, match), SOFTMAX[1]),
        (DeformableDetrCriterion(C, match), FocalLoss(C)),
    ],
)
def test_without_factors_the_criterion_keeps_its_numbers(criterion, loss):
    given = outputs(loss.num_logits)
    logits = [given["pred_logits"], given["aux_outputs"][0]["pred_logits"]]
    expected = criterion(given, TARGETS)
    found = use_loss(copy.deepcopy(criterion), copy.deepcopy(loss))(given, TARGETS)
    assert list(found) == list(expected)  # class_error is still in the outputs
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    gradients = [torch.autograd.grad(each["loss_ce"] + each["loss_ce_1"], logits) for each in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_seesaw_counts_objects_and_queries_without_one():
    criterion = use_loss(Mask2FormerCriterion(C, match), SeesawLoss(C, background="class"))
    given = outputs(C + 1)
    with torch.no_grad():
        expected = SeesawLoss(C, background="class")
        weights = torch.where(LABELS.flatten() == C, 0.1, 1.0)
        expected = expected(given["pred_logits"].flatten(0, 1), LABELS.flatten(), weights, weights.sum())["loss_cls"]
        torch.testing.assert_close(criterion(outputs(C + 1, layers=1), TARGETS)["loss_ce"], expected)
        criterion(given, TARGETS)
    assert criterion.cls_loss.class_counts.tolist() == [3, 0, 6, 0, 33]  # counts of 3 decoder layers
    assert "cls_loss.class_counts" in criterion.state_dict()


@pytest.mark.parametrize("criterion", [DeformableDetrCriterion, RfDetrCriterion])
@pytest.mark.parametrize(
    "loss",
    [
        FocalLoss(C),
        ClassBalancedFocalLoss(C, instance_counts=[1, 2, 3, 4]),
        EqualizationLoss(C, image_frequency=[0.1, 0.0001, 0.2, 0.3]),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_sigmoids_are_divided_by_the_number_of_objects(criterion, loss):
    given = outputs(C, layers=1)
    found = use_loss(criterion(C, match), copy.deepcopy(loss))(given, TARGETS)["loss_ce"]
    expected = loss(given["pred_logits"].flatten(0, 1), LABELS.flatten(), avg_factor=3.0)["loss_cls"]
    torch.testing.assert_close(found, expected)


def test_labels_of_queries():
    labels = [each["labels"] for each in TARGETS]
    assert torch.equal(query_labels(labels, match(None, None), QUERIES, C), LABELS)


def test_a_criterion_of_ones_own():
    logits = outputs(C)["pred_logits"]
    expected = FocalLoss(C)(logits.flatten(0, 1), LABELS.flatten())["loss_cls"]
    torch.testing.assert_close(query_loss(FocalLoss(C), logits, LABELS), expected)


def test_the_guide_lists_the_losses_that_fit():
    page = (Path(__file__).parents[2] / "docs/downstream.md").read_text()
    rows = [re.findall(r"`(\w+)`", line) for line in page.splitlines() if '`background="' in line and line[0] == "|"]
    for background, listed in zip(("class", "implicit"), rows, strict=True):
        fit = []
        for name, own in CASES:
            with suppress(ValueError):
                check_fits(make(name, own), CLASSES, softmax=background == "class")
                fit.append(name)
        assert sorted(listed) == sorted(fit)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_has_its_own_counts(copied):
    first = use_loss(DetrCriterion(C, match), SeesawLoss(C, background="class"))
    second = copied(first)
    second(outputs(C + 1), TARGETS)
    assert first.cls_loss.class_counts.sum() == 0
    assert second.cls_loss.class_counts.sum() == 2 * 2 * QUERIES
    assert isinstance(second, DetrCriterion)


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_gets_the_mode_and_the_device_of_the_criterion(training):
    criterion = DetrCriterion(C, match).to("meta").train(training)
    loss = use_loss(criterion, SeesawLoss(C, background="class").train(not training)).cls_loss
    assert loss.training is training
    assert loss.class_counts.is_meta


def test_a_second_loss_replaces_the_first():
    criterion = use_loss(use_loss(DetrCriterion(C, match), SeesawLoss(C, background="class")), CrossEntropyLoss(C))
    expected = DetrCriterion(C, match)(outputs(C + 1), TARGETS)
    torch.testing.assert_close(criterion(outputs(C + 1), TARGETS), expected)


@pytest.mark.parametrize(
    ("criterion", "loss", "named"),
    [
        (Mask2FormerCriterion(C, match), SeesawLoss(C), 'background="class"'),
        (Mask2FormerCriterion(C, match), SeesawLoss(C, background="none"), 'background="class"'),
        (Mask2FormerCriterion(C, match), SeesawLoss(C + 1, background="class"), f"num_classes={C}"),
        (Mask2FormerCriterion(C, match), FocalLoss(C), 'background="class"'),
        (Mask2FormerCriterion(C, match), BalancedGroupSoftmaxLoss(C, instance_counts=[1] * C), 'background="class"'),
        (Mask2FormerCriterion(C, match), EqualizationLossV2(C), "softmax"),
        (DeformableDetrCriterion(C, match), SeesawLoss(C, background="class"), 'background="implicit"'),
        (DeformableDetrCriterion(C, match), EqualizationLossV2(C), 'background="implicit"'),
        (DeformableDetrCriterion(C, match), FocalLoss(C - 1), f"num_classes={C}"),
        (
            DeformableDetrCriterion(C, match),
            GumbelOptimizedLoss(C, image_frequency=None, background="implicit"),
            "sigmoids",
        ),
        (DetrCriterion(C, match, losses=["vfl", "boxes"]), SeesawLoss(C, background="class"), "vfl"),  # RT-DETR
        (SetCriterion(C, match), FocalLoss(C), "SetCriterion"),
        (nn.CrossEntropyLoss(), CrossEntropyLoss(C), "CrossEntropyLoss"),
    ],
)
def test_what_does_not_fit_is_refused(criterion, loss, named):
    before = type(criterion)
    with pytest.raises(ValueError, match=named):
        use_loss(criterion, loss)
    assert type(criterion) is before


@pytest.mark.parametrize("label", [C, C + 1, -1])
def test_labels_out_of_range_are_not_no_object(label):
    labels, match = [torch.tensor([0, label])], [(torch.tensor([1]), torch.tensor([1]))]
    with pytest.raises(ValueError, match=rf"labels: .* 0 to {C - 1}, .* {label}\b"):
        query_labels(labels, match, 3, C)


@pytest.mark.parametrize("label", [C, C + 1, -1])
def test_labels_out_of_range_stay_invalid_without_a_check(label):
    """Test that labels are not checked on other devices than the CPU, because reading values would synchronize."""
    with torch.device("meta"):
        assert object_labels(torch.tensor([0, label]), C).shape == (2,)
    found = torch.compile(object_labels, backend="eager")(torch.tensor([0, C - 1, label]), C)
    assert found[:2].tolist() == [0, C - 1]
    assert not 0 <= found[2] <= C
