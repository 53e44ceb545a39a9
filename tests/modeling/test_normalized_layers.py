"""Test normalized layers: numbers of mmdet 3.3.0, single filters, and half precision."""

import pytest
import torch

from seesaw_d2.modeling.normalized_layers import NormedConv2d, NormedLinear
from tests import golden


def golden_layer(call, dtype):
    out_features, in_features, *kernel = call["weight"].shape
    settings = {name: float(call[f"set_{name}"]) for name in ("temperature", "power", "eps")}
    settings["bias"] = call["bias"] is not None
    if kernel:
        settings["padding"] = int(call["set_padding"])
        settings["norm_over_kernel"] = bool(call["set_norm_over_kernel"])
        layer = NormedConv2d(in_features, out_features, tuple(kernel), **settings).to(dtype)
    else:
        layer = NormedLinear(in_features, out_features, **settings).to(dtype)
    layer.weight.data = call.tensor("weight", dtype)
    if settings["bias"]:
        layer.bias.data = call.tensor("bias", dtype)
    return layer


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, golden.EXACT), (torch.float32, golden.SINGLE)],
    ids=["f64", "f32"],
)
@pytest.mark.parametrize("index", range(7))
def test_golden(index, dtype, tolerance):
    call = golden.calls(golden.load("normed_predictor"))[index]
    layer, x = golden_layer(call, dtype), call.tensor("x", dtype).requires_grad_()
    output = layer(x)
    output.backward(call.tensor("gy", dtype))
    results = {"y": output, "g_x": x.grad, "g_weight": layer.weight.grad}
    if layer.bias is not None:
        results["g_bias"] = layer.bias.grad
    for key, result in results.items():
        # In float32, the error grows with the terms of sums of up to 54 products. Outputs reach 38, and gradients at
        # zero vectors reach 1 / eps.
        largest = abs(call[key]).max() if dtype == torch.float32 else 1.0
        golden.assert_matches(result, call[key], {**tolerance, "atol": tolerance["atol"] * max(largest, 1)})


def test_every_golden_call_is_covered():
    assert len(golden.calls(golden.load("normed_predictor"))) == 7


def test_output_is_the_scaled_cosine_plus_bias():
    torch.manual_seed(0)
    layer = NormedLinear(8, 5, temperature=7.0).double()
    layer.bias.data.normal_()
    x = torch.randn(4, 8, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(x[:, None], layer.weight[None], dim=2)
    torch.testing.assert_close(layer(x), 7 * cosine + layer.bias, rtol=1e-4, atol=1e-4)  # eps = 1e-6
    torch.testing.assert_close(layer(1000 * x), layer(x), rtol=1e-5, atol=1e-5)


def test_initialization():
    torch.manual_seed(0)
    for layer in (NormedLinear(100, 100), NormedConv2d(100, 100, 1)):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not layer.bias.any()
    assert NormedLinear(3, 4, bias=False).bias is None


def test_linear_is_a_one_by_one_convolution():
    torch.manual_seed(0)
    linear, conv = NormedLinear(6, 4).double(), NormedConv2d(6, 4, 1).double()
    conv.load_state_dict({"weight": linear.weight[:, :, None, None], "bias": linear.bias})
    x = torch.randn(3, 6, dtype=torch.float64)
    torch.testing.assert_close(conv(x[:, :, None, None])[:, :, 0, 0], linear(x))


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("class_index", [[3, 0, 3, 6], [], [2, 2, 2, 2]])
def test_selected_filters_equal_all_filters_selected(class_index, bias, power):
    torch.manual_seed(0)
    layer = NormedConv2d(6, 7, 1, bias=bias, power=power).double()
    layer.weight.data.normal_()
    if bias:
        layer.bias.data.normal_()
    class_index = torch.tensor(class_index, dtype=torch.int64)
    num_regions = len(class_index)
    x = torch.randn(num_regions, 6, 3, 5, dtype=torch.float64)
    if num_regions:
        x[0, :, 1, 1] = 0  # a zero feature vector, as after a ReLU
    upstream = torch.randn(num_regions, 1, 3, 5, dtype=torch.float64)
    results = []
    for select in (False, True):
        layer.zero_grad()
        features = x.clone().requires_grad_()
        if select:
            output = layer.forward_selected(features, class_index)
        else:
            output = layer(features)[torch.arange(num_regions), class_index].unsqueeze(1)
        output.backward(upstream)
        results.append([output.detach(), features.grad, *(p.grad for p in layer.parameters())])
    assert results[1][0].shape == (num_regions, 1, 3, 5)
    for expected, actual in zip(*results, strict=True):
        assert torch.isfinite(actual).all()
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("settings", [{"kernel_size": 3}, {"kernel_size": 1, "padding": 1}])
def test_selecting_needs_a_plain_one_by_one_convolution(settings):
    with pytest.raises(ValueError, match="forward_selected: expected"):
        NormedConv2d(2, 3, **settings).forward_selected(torch.randn(1, 2, 4, 4), torch.zeros(1).long())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_do_not_overflow_in_their_norm(dtype):
    torch.manual_seed(0)
    linear, conv = NormedLinear(512, 5), NormedConv2d(512, 5, 1)
    x = (torch.randn(4, 512).abs() + 1) * 3000  # the norm, 1e5, overflows float16
    half = x.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        output = linear(half)
        every = conv(half[:, :, None, None])
    torch.testing.assert_close(output.float(), linear(x), rtol=0.02, atol=0.2)
    torch.testing.assert_close(every.float()[:, :, 0, 0], conv(x[:, :, None, None])[:, :, 0, 0], rtol=0.02, atol=0.2)
    (output.float().sum() + every.float().sum()).backward()
    for grad in (half.grad, linear.weight.grad, conv.weight.grad):
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_selected_filters_in_half_precision(dtype):
    torch.manual_seed(0)
    conv, index = NormedConv2d(64, 5, 1), torch.tensor([4, 0, 1])
    x = torch.randn(3, 64, 2, 2) * 10
    half = x.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        output = conv.forward_selected(half, index)
        assert output.dtype == conv(half).dtype == dtype
    expected = conv(x)[torch.arange(3), index].unsqueeze(1)
    torch.testing.assert_close(output.float(), expected, rtol=0.02, atol=0.2)
    output.float().sum().backward()
    assert half.grad.dtype == dtype
    assert torch.isfinite(conv.weight.grad).all()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("size", [6000.0, 60000.0, 0.01])
def test_selected_filters_are_those_of_all_in_float16_at_any_scale(size, autocast):
    """Test selected filters in float16. With 256 channels of 6000, w̃ᵀx = 96000 overflows, but τ w̃ᵀx̃ is 20."""
    conv = NormedConv2d(256, 3, 1, bias=False)
    torch.nn.init.ones_(conv.weight)
    x, index = torch.full((2, 256, 2, 2), size), torch.tensor([2, 0])
    if autocast:
        x = (x * 10).requires_grad_()  # features may be float32, because autocast converts them in the product
    else:
        conv, x = conv.half(), x.half().requires_grad_()
    with torch.autocast("cpu", dtype=torch.float16, enabled=autocast):
        every = conv(x)[torch.arange(2), index].unsqueeze(1)
        selected = conv.forward_selected(x, index)
    torch.testing.assert_close(selected, every, rtol=2e-3, atol=0)
    if size > 1:
        torch.testing.assert_close(selected, torch.full_like(selected, 20.0), rtol=2e-3, atol=0)
    selected.float().sum().backward()
    assert torch.isfinite(conv.weight.grad).all()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters(dtype):
    torch.manual_seed(0)
    linear, conv, x = NormedLinear(64, 5), NormedConv2d(64, 5, 1), torch.randn(3, 64)
    index = torch.tensor([4, 0, 1])
    expected = linear(x), conv(x[:, :, None, None]), conv.forward_selected(x[:, :, None, None], index)
    linear, conv, x = linear.to(dtype), conv.to(dtype), x.to(dtype)
    outputs = linear(x), conv(x[:, :, None, None]), conv.forward_selected(x[:, :, None, None], index)
    for output, single in zip(outputs, expected, strict=True):
        assert output.dtype == dtype
        torch.testing.assert_close(output.float(), single, rtol=0.02, atol=0.2)


@pytest.mark.parametrize("name", ["temperature", "power", "eps"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "x", None])
def test_numbers_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected a .*number > 0, found"):
        NormedLinear(2, 3, **{name: value})
    with pytest.raises(ValueError, match=f"{name}: expected a .*number > 0, found"):
        NormedConv2d(2, 3, 1, **{name: value})
