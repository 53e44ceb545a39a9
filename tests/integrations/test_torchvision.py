"""Test torchvision's R-CNNs with the losses of this package, against torchvision's own loss and scores."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.detection import (
    FCOS,
    RetinaNet,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    ssdlite320_mobilenet_v3_large,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator

from seesaw_d2.integrations.torchvision import LossPredictor, use_loss
from seesaw_d2.losses import (
    BalancedGroupSoftmaxLoss,
    CrossEntropyLoss,
    EqualizationLoss,
    EqualizationLossV2,
    FocalLoss,
    SeesawLoss,
)

CLASSES = 3


def detector():
    torch.manual_seed(0)
    sizes = {"box_batch_size_per_image": 32, "min_size": 64, "max_size": 64, "rpn_post_nms_top_n_test": 20}
    weights = {"weights": None, "weights_backbone": None}
    return fasterrcnn_mobilenet_v3_large_320_fpn(num_classes=CLASSES + 1, **weights, **sizes).train()


def batch():
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(3, 64, 64, generator=generator) for _ in range(2)]
    boxes = torch.tensor([[4.0, 4, 30, 30], [20, 20, 60, 60]])
    return images, [{"boxes": boxes, "labels": torch.tensor([1, 3])}, {"boxes": boxes[:1], "labels": torch.tensor([2])}]


def losses_of(model):
    torch.manual_seed(2)
    return model(*batch())


def test_cross_entropy_gives_torchvisions_numbers():
    plain = detector()
    ours = use_loss(copy.deepcopy(plain), CrossEntropyLoss(CLASSES, background="class"))
    with torch.no_grad():  # background is the first logit in torchvision, and the last logit in this project
        ours.roi_heads.box_predictor.cls_score.weight.copy_(plain.roi_heads.box_predictor.cls_score.weight.roll(-1, 0))
        ours.roi_heads.box_predictor.cls_score.bias.copy_(plain.roi_heads.box_predictor.cls_score.bias.roll(-1, 0))
    expected, found = losses_of(plain), losses_of(ours)
    assert found.keys() - expected.keys() == {"loss_cls"}
    torch.testing.assert_close(found.pop("loss_cls"), expected.pop("loss_classifier"))
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])
    with torch.no_grad():
        for one, other in zip(plain.eval()(batch()[0]), ours.eval()(batch()[0]), strict=True):
            for name in one:
                torch.testing.assert_close(other[name], one[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", [SeesawLoss, EqualizationLossV2], ids=lambda loss: loss.__name__)
def test_each_model_has_its_own_loss(loss):
    first, second = (use_loss(detector(), loss(CLASSES)) for _ in range(2))
    losses = losses_of(first)
    assert "loss_classifier" not in losses
    sum(losses.values()).backward()
    assert first.roi_heads.box_predictor.cls_score.weight.grad.abs().sum() > 0
    if loss is SeesawLoss:
        assert first.roi_heads.box_predictor.cls_loss.class_counts[:CLASSES].sum() > 0
        assert second.roi_heads.box_predictor.cls_loss.class_counts.sum() == 0
    assert "loss_classifier" in losses_of(detector())  # other models in this process still use torchvision's loss


@pytest.mark.parametrize(
    "loss",
    [
        SeesawLoss(CLASSES),
        EqualizationLossV2(CLASSES),
        FocalLoss(CLASSES),
        BalancedGroupSoftmaxLoss(CLASSES, instance_counts=[5, 50, 500]),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_scores_are_those_of_the_loss(loss):
    """Test also losses whose scores do not sum to 1."""
    heads = use_loss(detector(), loss).eval().roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.0, 1.0, 5 * CLASSES
    predictor = heads.box_predictor
    features = torch.randn(5, predictor.cls_score.in_features)
    with torch.no_grad():
        expected = loss.probabilities(predictor.cls_score(features))[:, :CLASSES]
        boxes = torch.tensor([[10.0, 10, 50, 50]]).repeat(5, 1)
        _, (scores,), (labels,) = heads.postprocess_detections(*predictor(features), [boxes], [(64, 64)])
    for label in range(CLASSES):
        found = scores[labels == label + 1]
        torch.testing.assert_close(found, expected[:, label].sort(descending=True).values, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_new_classifier_has_the_mode_and_the_dtype_of_the_model(dtype):
    loss = BalancedGroupSoftmaxLoss(CLASSES, instance_counts=[1, 20, 500])
    model = use_loss(detector().to(dtype).eval(), loss)
    features = torch.randn(4, model.roi_heads.box_predictor.cls_score.in_features, dtype=dtype)
    with torch.no_grad():
        scores = model.roi_heads.box_predictor(features)[0].exp()
        expected = loss.probabilities(model.roi_heads.box_predictor.cls_score(features))
    torch.testing.assert_close(scores, expected.roll(1, dims=1))
    assert not loss.training


def test_the_statistics_of_a_loss_keep_their_dtype():
    loss = EqualizationLossV2(CLASSES)
    model = use_loss(detector().to(torch.bfloat16), loss)
    assert model.roi_heads.box_predictor.cls_score.weight.dtype == torch.bfloat16
    assert loss.positive_gradients.dtype == torch.float64


def one_stage(detector_class):
    torch.manual_seed(0)
    backbone = nn.Conv2d(3, 32, 8, stride=8)
    backbone.out_channels = 32
    shapes = ((0.5, 1.0, 2.0),) if detector_class is RetinaNet else ((1.0,),)
    anchors = AnchorGenerator(sizes=((24,),), aspect_ratios=shapes)
    return detector_class(backbone, CLASSES + 1, anchor_generator=anchors, min_size=64, max_size=64).train()


@pytest.mark.parametrize("detector_class", [RetinaNet, FCOS])
def test_focal_loss_gives_the_numbers_of_a_one_stage_detector(detector_class):
    plain = one_stage(detector_class)
    ours = use_loss(copy.deepcopy(plain), FocalLoss(CLASSES + 1))
    expected, found = losses_of(plain), losses_of(ours)
    torch.testing.assert_close(found, expected)
    for each in (expected, found):
        sum(each.values()).backward()
    for one, other in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)
    images, targets = batch()
    targets[0] = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    torch.testing.assert_close(ours(images, targets), plain(images, targets))
    ours, images = ours.eval(), batch()[0]
    torch.testing.assert_close(ours(images), plain.eval()(images))


@pytest.mark.parametrize("detector_class", [RetinaNet, FCOS])
def test_the_loss_of_a_one_stage_detector_has_the_device_and_the_mode_of_the_model(detector_class):
    loss = EqualizationLoss(CLASSES + 1, image_frequency=[0, 0.5, 0.0001, 0.5])
    use_loss(one_stage(detector_class).to("meta").eval(), loss)
    assert {value.device.type for value in loss.buffers()} == {"meta"}
    assert not loss.training


@pytest.mark.parametrize("detector_class", [RetinaNet, FCOS])
def test_another_loss_changes_the_classification_of_a_one_stage_detector(detector_class):
    tail = EqualizationLoss(CLASSES + 1, image_frequency=[0, 0.5, 0.0001, 0.5])
    expected, found = losses_of(one_stage(detector_class)), losses_of(use_loss(one_stage(detector_class), tail))
    assert found.pop("classification") != expected.pop("classification")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("make", "loss", "named"),
    [
        (detector, lambda: SeesawLoss(CLASSES, background="none"), "background"),
        (detector, lambda: SeesawLoss(CLASSES + 1), str(CLASSES)),
        (lambda: torch.nn.Linear(1, 1), lambda: SeesawLoss(CLASSES), "Linear"),
        (lambda: one_stage(RetinaNet), lambda: SeesawLoss(CLASSES + 1), 'background="implicit"'),
        (lambda: one_stage(FCOS), lambda: FocalLoss(CLASSES), f"num_classes={CLASSES + 1}"),
        (lambda: ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None), lambda: FocalLoss(91), "SSD"),
    ],
)
def test_what_does_not_fit_is_refused(make, loss, named):
    with pytest.raises(ValueError, match=named):
        use_loss(make(), loss())


@pytest.mark.parametrize("label", [CLASSES + 1, CLASSES + 2, -1])
def test_labels_out_of_range_are_not_background(label):
    predictor = LossPredictor(2, CrossEntropyLoss(CLASSES, background="class"), nn.Linear(2, 4))
    predictor(torch.ones(3, 2))
    assert predictor.losses(torch.tensor([0, 1, CLASSES]))["loss_cls"] > 0
    predictor(torch.ones(3, 2))
    with pytest.raises(ValueError, match=rf"labels: .* 1 to {CLASSES}, .* {label}\b"):
        predictor.losses(torch.tensor([0, 1, label]))
