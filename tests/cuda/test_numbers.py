"""Test losses, layers and heads on the GPU in each data type, against float64 on the CPU."""

import copy

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from seesaw_d2.modeling import NormedConv2d, NormedLinear
from tests.cuda.devices import assert_near, dtypes, on_both
from tests.losses.test_contract import batch, every_loss, make, total
from tests.modeling.test_autocast import HEADS
from tests.modeling.test_two_processes import ALL
from tests.modeling.tiny import tiny_batch, tiny_config

SCALE = 2.0**12  # scale of the gradients of heads, because float16 would round them to zero


def run(loss, logits, labels):
    """Return losses, gradient and scores of the third of three batches, and the state."""
    for _ in range(3):
        losses = loss(logits, labels)
    (gradient,) = torch.autograd.grad(total(losses), logits)
    return losses, gradient, loss.probabilities(logits), loss.state_dict()


@on_both
@dtypes
@every_loss
def test_losses(name, background, dtype, device):
    """Compare losses for logits of a data type with float64 losses for the same rounded logits."""
    loss = make(name, background)
    logits, labels = batch(loss, 64, dtype=dtype)
    wide = logits.detach().double().requires_grad_()
    losses, gradient, scores, state = run(copy.deepcopy(loss).double(), wide, labels)
    own = logits.detach().to(device).requires_grad_()
    found, own_gradient, own_scores, own_state = run(loss.to(device), own, labels.to(device))
    assert own_gradient.dtype == dtype
    for key, value in losses.items():
        assert_near(found[key], value, torch.float32)
    assert_near(own_gradient, gradient, dtype)
    assert_near(own_scores, scores, dtype)
    for key, value in state.items():
        torch.testing.assert_close(own_state[key].cpu().double(), value.double(), rtol=1e-3, atol=1e-5, msg=key)


LAYERS = {
    "linear": (lambda: NormedLinear(24, 9), (16, 24)),
    "convolution": (lambda: NormedConv2d(8, 5, kernel_size=3), (4, 8, 12, 12)),
    "convolution, normalized over the kernel": (
        lambda: NormedConv2d(8, 5, kernel_size=1, norm_over_kernel=True),
        (4, 8, 12, 12),
    ),
}


@on_both
@dtypes
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype, device):
    torch.manual_seed(0)
    make_layer, shape = LAYERS[name]
    layer, x = make_layer(), torch.randn(shape)
    wide, wide_x = copy.deepcopy(layer).double(), x.double().requires_grad_()
    expected = wide(wide_x)
    expected.square().sum().backward()
    layer, x = layer.to(device), x.to(device).requires_grad_()
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        found = layer(x)
    found.float().square().sum().backward()
    assert_near(found, expected, dtype)
    assert_near(x.grad, wide_x.grad, dtype, 4)
    assert_near(layer.weight.grad, wide.weight.grad, dtype, 4)


@on_both
@dtypes
@pytest.mark.parametrize("head", HEADS)
def test_heads(head, dtype, device):
    """Compare ROI heads with the same features and proposals. All proposals are used."""
    torch.manual_seed(0)
    model = build_model(tiny_config(*HEADS[head], *ALL)).train()
    images = tiny_batch()
    with EventStorage(), torch.no_grad():
        prepared = model.preprocess_image(images)
        features = model.backbone(prepared.tensor)
        proposals, _ = model.proposal_generator(prepared, features, [each["instances"] for each in images])

    def losses(heads, place, kind):
        copied = [each.to(place) for each in copy.deepcopy(proposals)]
        targets = [each["instances"].to(place) for each in tiny_batch()]
        own = {name: each.to(place, kind) for name, each in features.items()}
        for each in (*copied, *targets):
            for boxes in (name for name in ("proposal_boxes", "gt_boxes") if each.has(name)):
                each.get(boxes).tensor = each.get(boxes).tensor.to(kind)
        autocast = torch.autocast(place, dtype=dtype, enabled=kind == torch.float32 and dtype != torch.float32)
        with EventStorage(), autocast:
            found = heads(prepared, own, copied, targets)[1]
        (SCALE * sum(found.values())).backward()
        return found, heads

    expected, wide = losses(copy.deepcopy(model.roi_heads).double(), "cpu", torch.float64)
    found, heads = losses(model.roi_heads.to(device), device, torch.float32)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_near(found[name], value, dtype)
    factor = 24 if head == "pcb" else 4  # PCB feeds its scores back into its features, which amplifies rounding errors
    found, expected = ([each.grad for each in of.parameters() if each.grad is not None] for of in (heads, wide))
    assert_near(*(torch.cat([each.flatten() for each in of]) / SCALE for of in (found, expected)), dtype, factor)
