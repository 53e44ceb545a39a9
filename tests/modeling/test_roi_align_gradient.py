"""Test that the gradient of RoIAlign by matrix products equals torchvision's gradient."""

import pytest
import torch
from detectron2.layers import ROIAlign
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from seesaw_d2.modeling.roi_align_gradient import LARGEST_SIDE, ProductROIAlign
from seesaw_d2.train.acceleration import accelerate
from tests.modeling.tiny import tiny_batch, tiny_config

# Boxes inside, across each edge, far outside, without extent, and larger than the image, in pixels.
BOXES = [[8, 9, 30, 50], [-20, -9, 12, 20], [50, 40, 90, 99], [200, 200, 240, 230], [20, 20, 20, 20], [-9, -9, 99, 99]]


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size", [(16, 12), (1, 1)])
def test_the_gradient_is_torchvisions(sampling_ratio, aligned, size):
    generator = torch.Generator().manual_seed(0)
    image = torch.arange(len(BOXES)).remainder(2).unsqueeze(1)
    rois = torch.cat([image, torch.tensor(BOXES)], dim=1).double()
    found = []
    for kind in (ROIAlign, ProductROIAlign):
        features = torch.randn(3, 4, *size, generator=generator.manual_seed(0), dtype=torch.float64, requires_grad=True)
        output = kind((7, 5), 0.25, sampling_ratio, aligned)(features, rois)
        output.backward(torch.randn(output.shape, generator=generator, dtype=torch.float64))
        found.append((output.detach(), features.grad))
    (expected, expected_gradient), (output, gradient) = found
    assert torch.equal(output, expected)
    assert expected_gradient.abs().max() > 0
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_few_regions(count):
    features = torch.zeros(1, 2, 8, 8, requires_grad=True)
    output = ProductROIAlign((2, 2), 1.0, 0)(features, torch.tensor([[0.0, 1, 1, 5, 5]] * count).view(-1, 5))
    assert output.shape == (count, 2, 2, 2)
    output.sum().backward()
    assert features.grad.sum() == pytest.approx(output.numel())


def test_larger_maps_are_torchvisions():
    features = torch.zeros(1, 2, 4, LARGEST_SIDE + 1, requires_grad=True)
    output = ProductROIAlign((2, 2), 1.0, 0)(features, torch.zeros(1, 5))
    assert "_ROIAlign" not in type(output.grad_fn).__name__


def test_a_models_poolers():
    """Test that with the config key, losses are equal, and gradients are equal up to rounding."""
    options = ("MODEL.ROI_ALIGN_GRADIENT", "products")
    plain, changed = build_model(tiny_config()), accelerate(build_model(tiny_config(*options)), tiny_config(*options))
    changed.load_state_dict(plain.state_dict())
    found = []
    for model in (plain, changed):
        torch.manual_seed(0)
        with EventStorage():
            losses = model(tiny_batch())
        sum(losses.values()).backward()
        found.append((losses, {name: each.grad for name, each in model.named_parameters()}))
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-4, atol=1e-6)
    poolers = [each for each in changed.modules() if isinstance(each, ProductROIAlign)]
    assert len(poolers) == 4
