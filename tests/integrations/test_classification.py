"""Test ``Criterion`` against ``nn.CrossEntropyLoss``, and in timm's training loop."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seesaw_d2.integrations.classification import Criterion
from seesaw_d2.losses import CrossEntropyLoss, FocalLoss, SeesawLoss, soft_label_loss

C, N = 5, 8
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 4.0, 0.0])


def logits():
    return torch.randn(N, C, generator=torch.Generator().manual_seed(0))


LABELS = torch.tensor([0, 1, 1, 2, 3, 4, 0, 0])
SOFT = torch.rand(N, C, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


@pytest.mark.parametrize("loss", [CrossEntropyLoss(C, background="none"), SeesawLoss(C, p=0, q=0, background="none")])
@pytest.mark.parametrize("targets", [LABELS, SOFT], ids=["indices", "probabilities"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_factors_it_is_pytorchs(loss, targets, smoothing):
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(logits(), targets)
    torch.testing.assert_close(Criterion(loss, label_smoothing=smoothing)(logits(), targets), expected)
    wide = (logits().double(), targets.double() if targets.is_floating_point() else targets)
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(*wide)
    torch.testing.assert_close(Criterion(loss, label_smoothing=smoothing)(*wide), expected, rtol=1e-12, atol=1e-12)


def test_weights_of_classes_are_averaged_as_in_pytorch():
    expected = nn.CrossEntropyLoss(weight=WEIGHT)(logits(), LABELS)
    found = Criterion(CrossEntropyLoss(C, background="none"), weight=WEIGHT)(logits(), LABELS)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scale", [1e-20, 1e-9, 1e9])
def test_the_scale_of_the_weights_has_no_effect(scale):
    weight = scale * torch.tensor([0.1, 0.2, 0.3, 0.4])
    x, y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
    found = Criterion(CrossEntropyLoss(4, background="none"), weight=weight)(x, y)
    torch.testing.assert_close(found, nn.CrossEntropyLoss(weight=weight)(x, y))


def test_the_sum_of_half_precision_weights_does_not_overflow():
    weight = 10000 * WEIGHT[:4]
    given, labels = logits()[:, :4].half(), LABELS[LABELS < 4]
    given = given[: len(labels)]
    found = Criterion(CrossEntropyLoss(4, background="none"), weight=weight.half())(given, labels)
    torch.testing.assert_close(found, nn.CrossEntropyLoss(weight=weight)(given.float(), labels))


def test_seesaw_loss_counts_labels_and_the_largest_of_soft_ones():
    criterion, loss = Criterion(SeesawLoss(C, background="none")), SeesawLoss(C, background="none")
    torch.testing.assert_close(criterion(logits(), LABELS), loss(logits(), LABELS)["loss_cls"])
    torch.testing.assert_close(criterion(logits(), SOFT), soft_label_loss(loss, logits(), SOFT)["loss_cls"])
    expected = torch.bincount(LABELS, minlength=C) + torch.bincount(SOFT.argmax(dim=1), minlength=C)
    assert torch.equal(criterion.loss.class_counts, expected)
    criterion.eval()(logits(), LABELS)
    assert torch.equal(criterion.loss.class_counts, expected)


@pytest.mark.parametrize(
    ("make", "targets", "named"),
    [
        (lambda: Criterion(SeesawLoss(C)), LABELS, "background"),
        (lambda: Criterion(CrossEntropyLoss(C, background="none"), weight=WEIGHT[1:]), LABELS, "weight"),
        (lambda: Criterion(CrossEntropyLoss(C, background="none"), WEIGHT, 0.1), LABELS, "weight"),
        (lambda: Criterion(CrossEntropyLoss(C, background="none"), WEIGHT), SOFT, "weight"),
        (lambda: Criterion(CrossEntropyLoss(C, background="none"), label_smoothing=1), LABELS, "label_smoothing"),
        (lambda: Criterion(FocalLoss(C, background="none")), SOFT, "FocalLoss"),
        (lambda: Criterion(SeesawLoss(C + 1, background="none")), LABELS, f"= {C + 1} outputs"),
    ],
)
def test_what_does_not_fit_is_refused(make, targets, named):
    with pytest.raises(ValueError, match=named):
        make()(logits(), targets)


@pytest.mark.parametrize("options", [{}, {"weight": WEIGHT}, {"label_smoothing": 0.1}], ids=["plain", *"ws"])
@pytest.mark.parametrize(
    ("targets", "named"),
    [
        (LABELS + 1, f"labels: expected values from 0 to {C - 1}, found values from 1 to {C}"),
        (LABELS.int(), "labels: .*torch.int64, found torch.int32"),
        (F.one_hot(LABELS, C), r"labels: expected shape \(8,\)"),
    ],
)
def test_wrong_indices(options, targets, named):
    with pytest.raises(ValueError, match=named):
        Criterion(CrossEntropyLoss(C, background="none"), **options)(logits(), targets)


@pytest.mark.parametrize("mixed", [False, True], ids=["labels", "mixup"])
def test_timms_training_task(mixed):
    timm = pytest.importorskip("timm", reason='needs the extra "timm"')
    task_module = pytest.importorskip("timm.task", reason="needs timm 1.0.25 or newer")
    from timm.loss import SoftTargetCrossEntropy

    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=C, img_size=32)
    images, targets = torch.randn(N, 3, 32, 32), LABELS
    if mixed:
        images, targets = timm.data.Mixup(0.8, 1.0, num_classes=C, label_smoothing=0.1)(images, targets)
    plain = SoftTargetCrossEntropy() if mixed else nn.CrossEntropyLoss()
    ours = Criterion(SeesawLoss(C, p=0, q=0, background="none"))
    found, expected = (
        task_module.ClassificationTask(copy.deepcopy(model), criterion, verbose=False)(images, targets)["loss"]
        for criterion in (ours, plain)
    )
    torch.testing.assert_close(found, expected)
    found.backward()
    counted = targets.argmax(dim=1) if mixed else targets
    assert ours.loss.class_counts.tolist() == F.one_hot(counted, C).sum(dim=0).tolist()
