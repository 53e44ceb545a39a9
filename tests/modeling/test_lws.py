"""Test learnable weight scaling (LWS)."""

import torch
from torch import nn

from seesaw_d2.modeling import LWSLinear
from tests import golden


def test_golden():
    (call,) = golden.calls(golden.load("lws_linear"))
    x, weight = call.tensor("x"), call.tensor("weight")
    layer = LWSLinear(weight.shape[1], weight.shape[0]).double()
    assert torch.equal(layer.weight_scaler, torch.ones(len(weight), 1).double())
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(call.tensor("bias"))
        layer.weight_scaler.copy_(call.tensor("weight_scaler"))
    layer.requires_grad_(True)  # the reference's file has gradients that LWSLinear does not compute
    x.requires_grad_()
    y = layer(x)
    y.backward(call.tensor("gy"))
    golden.assert_matches(y, call["y"], golden.EXACT)
    golden.assert_matches(x.grad, call["g_x"], golden.EXACT)
    for name, parameter in layer.named_parameters():
        golden.assert_matches(parameter.grad, call[f"g_{name}"], golden.EXACT)


def test_it_starts_as_the_linear_layer_whose_state_it_takes():
    linear, scaled = nn.Linear(5, 3), LWSLinear(5, 3)
    missing = scaled.load_state_dict(linear.state_dict(), strict=False)
    assert missing.missing_keys == ["weight_scaler"]
    assert missing.unexpected_keys == []
    x = torch.randn(4, 5)
    assert torch.equal(scaled(x), linear(x))


def test_only_the_scale_is_learned():
    layer = LWSLinear(5, 3)
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == ["weight_scaler"]
    assert [name for name, _ in LWSLinear(5, 3, bias=False).named_parameters()] == ["weight", "weight_scaler"]
