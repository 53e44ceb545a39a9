"""Test that computing one mask per region gives the same numbers and gradients as computing all C masks."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead, mask_rcnn_inference, mask_rcnn_loss
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from seesaw_d2.modeling import NormedMaskHead, SelectiveMaskHead

C, CHANNELS = 5, 4


@pytest.fixture(params=[SelectiveMaskHead, NormedMaskHead], ids=lambda head: head.__name__)
def make_head(request):
    def make(num_classes=C):
        torch.manual_seed(0)
        shape = ShapeSpec(channels=CHANNELS, height=4, width=4)
        head = request.param(shape, num_classes=num_classes, conv_dims=[6, 6])
        torch.nn.init.normal_(head.predictor.bias)
        return head

    return make


def foreground(counts=(3, 0, 2)):
    generator = torch.Generator().manual_seed(1)
    instances = []
    for count in counts:
        image = Instances((32, 32))
        image.proposal_boxes = Boxes(torch.tensor([[4.0, 4.0, 28.0, 28.0]]).repeat(count, 1))
        image.gt_classes = torch.randint(0, C, (count,), generator=generator)
        image.pred_classes = image.gt_classes
        image.gt_masks = BitMasks(torch.rand(count, 32, 32, generator=generator) > 0.5)
        instances.append(image)
    return instances


def test_training_equals_all_filters(make_head):
    head, x = make_head(), torch.randn(5, CHANNELS, 4, 4, requires_grad=True)
    with EventStorage():
        loss = head(x, foreground())["loss_mask"]
        every = mask_rcnn_loss(head.layers(x), foreground())
    torch.testing.assert_close(loss, every)
    inputs = [x, *head.parameters()]
    for ours, expected in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(every, inputs), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)


def test_inference_equals_all_filters(make_head):
    head, x, ours, expected = make_head().eval(), torch.randn(5, CHANNELS, 4, 4), foreground(), foreground()
    head(x, ours)
    mask_rcnn_inference(head.layers(x), expected)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a.pred_masks, b.pred_masks)


def test_class_agnostic(make_head):
    head, x = make_head(num_classes=1), torch.randn(5, CHANNELS, 4, 4)
    with EventStorage():
        torch.testing.assert_close(head(x, foreground())["loss_mask"], mask_rcnn_loss(head.layers(x), foreground()))


@pytest.mark.parametrize("training", [True, False])
def test_no_regions(make_head, training):
    head, x = make_head().train(training), torch.zeros(0, CHANNELS, 4, 4, requires_grad=True)
    with EventStorage():
        output = head(x, foreground((0, 0)))
    if training:
        output["loss_mask"].backward()
        assert output["loss_mask"] == 0
        assert head.predictor.weight.grad is not None
    else:
        assert all(len(image.pred_masks) == 0 for image in output)


def test_parameters_are_detectron2s(make_head):
    head = make_head()
    plain = MaskRCNNConvUpsampleHead(ShapeSpec(channels=CHANNELS, height=4, width=4), num_classes=C, conv_dims=[6, 6])
    shapes = {name: value.shape for name, value in plain.state_dict().items()}
    assert {name: value.shape for name, value in head.state_dict().items()} == shapes
