"""Test torchvision's ResNet weights in Detectron2's ResNet."""

import hashlib
import logging
import os

import pytest
import torch
from detectron2.modeling import build_backbone, build_model

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.modeling.backbones.norm_eval_resnet import FixedStatisticsBatchNorm2d
from seesaw_d2.train import SeesawCheckpointer, load_config
from seesaw_d2.train.preflight.start_weights import check_weights
from seesaw_d2.weights import torchvision_backbones as torchvision_weights
from tests.resnets import random_resnet

BASE = "configs/Base-LVIS-mask_rcnn.yaml"
STAGES = ("layer1", "layer2", "layer3", "layer4")


def config(depth=18, **overrides):
    weights = {"MODEL.WEIGHTS": f"torchvision://resnet{depth}", "MODEL.RESNETS.DEPTH": depth}
    overrides = (
        {"MODEL.DEVICE": "cpu", "MODEL.RESNETS.RES2_OUT_CHANNELS": 64 if depth < 50 else 256} | weights | overrides
    )
    return load_config(BASE, [word for pair in overrides.items() for word in pair])


def torchvision_features(model, x):
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    features = []
    for stage in STAGES:
        x = getattr(model, stage)(x)
        features.append(x)
    return features


class Detector(torch.nn.Module):
    """Provide a minimal model with a backbone for the checkpointer."""

    def __init__(self, cfg):
        super().__init__()
        self.backbone = build_backbone(cfg)
        self.head = torch.nn.Linear(2, 2)


@pytest.mark.parametrize(("depth", "norm"), [(18, "BN"), (50, "BN"), (50, "FrozenBN"), (101, "BN")])
def test_converted_features_equal_torchvisions(tmp_path, depth, norm):
    reference = random_resnet(depth)
    path = str(tmp_path / "weights.pth")
    torch.save(reference.state_dict(), path)
    model = Detector(config(depth, **{"MODEL.RESNETS.NORM": norm}))
    resnet = model.backbone.bottom_up
    for tensor in resnet.state_dict().values():
        tensor.fill_(float("nan") if tensor.is_floating_point() else -1)
    head = model.head.weight.clone()

    SeesawCheckpointer(model).load(path, checkpointables=[])
    assert all(tensor.isfinite().all() for tensor in resnet.state_dict().values())
    assert torch.equal(model.head.weight, head)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = torchvision_features(reference, images)
        found = resnet.train()(images)  # also in training mode, because the statistics are fixed
    assert len(found) == len(expected)
    for value, name in zip(expected, ("res2", "res3", "res4", "res5"), strict=True):
        assert value.abs().max() > 0.1
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5)


def test_batch_norm_as_in_the_reference():
    """Test that the stem and res2 are frozen, and that later stages train weight and bias, but no statistics."""
    resnet = build_backbone(config()).bottom_up
    trained = {name for name, parameter in resnet.named_parameters() if parameter.requires_grad}
    assert not any(name.startswith(("stem.", "res2.")) for name in trained)
    assert {"res3.0.conv1.norm.weight", "res3.0.conv1.norm.bias", "res5.1.conv2.weight"} <= trained
    before = {name: value.clone() for name, value in resnet.named_buffers()}
    sum(feature.sum() for feature in resnet.train()(torch.randn(1, 3, 64, 64)).values()).backward()
    assert all(torch.equal(before[name], value) for name, value in resnet.named_buffers())
    assert resnet.res4[0].conv1.norm.weight.grad.abs().sum() > 0


def test_frozen_and_fixed_batch_norm_exchange_checkpoints(tmp_path):
    """Test that checkpoints are exchangeable. FrozenBatchNorm2d would subtract eps from variances of older versions."""
    fixed, frozen = (Detector(config(**{"MODEL.RESNETS.NORM": norm})) for norm in ("BN", "FrozenBN"))
    norm = fixed.backbone.bottom_up.res3[0].conv1.norm
    assert isinstance(norm, FixedStatisticsBatchNorm2d)
    norm.running_var.fill_(1e-4)
    torch.save({"model": fixed.state_dict()}, tmp_path / "fixed.pth")
    SeesawCheckpointer(frozen).load(str(tmp_path / "fixed.pth"))
    assert torch.equal(frozen.backbone.bottom_up.res3[0].conv1.norm.running_var, norm.running_var)


def test_another_norm_is_refused():
    with pytest.raises(ConfigError, match=r"MODEL\.RESNETS\.NORM: expected BN or FrozenBN .* found 'SyncBN'"):
        build_backbone(config(**{"MODEL.RESNETS.NORM": "SyncBN"}))


@pytest.mark.parametrize(("weights", "model"), [(18, 34), (34, 18)])
def test_weights_of_another_depth(tmp_path, weights, model):
    torch.save(random_resnet(weights).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"weights\.pth: .*MODEL\.RESNETS\.DEPTH"):
        SeesawCheckpointer(Detector(config(model))).load(str(tmp_path / "weights.pth"), checkpointables=[])


def test_a_model_without_resnet(tmp_path):
    torch.save(random_resnet(18).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"a model with one ResNet.* 0 ResNets"):
        SeesawCheckpointer(torch.nn.Linear(2, 2)).load(str(tmp_path / "weights.pth"), checkpointables=[])


def test_evaluation_needs_more_than_a_backbone(tmp_path):
    torch.save(random_resnet(18).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"head\.weight: not in the file"):
        SeesawCheckpointer(Detector(config()), strict=True).load(str(tmp_path / "weights.pth"), checkpointables=[])


def test_code_in_a_weights_file_does_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": Code()}, tmp_path / "code.pth")
    with pytest.raises(WeightsError, match=r"code\.pth: expected .*, found .*\w+\.mkdir"):
        SeesawCheckpointer(torch.nn.Linear(2, 2)).load(str(tmp_path / "code.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub/checkpoints"


def serve(tmp_path, monkeypatch, content, digest=None):
    """Replace the target of torchvision's URL by a file with this content."""
    digest = digest or hashlib.sha256(content).hexdigest()[:8]
    path = tmp_path / f"resnet18-{digest}.pth"
    path.write_bytes(content)
    monkeypatch.setattr(torchvision_weights, "_url", lambda name: path.as_uri())
    return path


def test_downloads_once(tmp_path, cache, monkeypatch, caplog):
    torch.save(random_resnet(18).state_dict(), tmp_path / "source.pth")
    served = serve(tmp_path, monkeypatch, (tmp_path / "source.pth").read_bytes())
    cfg = config()
    check_weights(cfg, eval_only=False, resume=False)
    assert (cache / served.name).read_bytes() == served.read_bytes()
    served.unlink()  # no network from now on
    check_weights(cfg, eval_only=False, resume=False)
    with caplog.at_level(logging.INFO):
        SeesawCheckpointer(Detector(cfg)).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    assert "torchvision://resnet18: loaded into backbone.bottom_up.*" in caplog.text


def test_without_a_network(tmp_path, cache, monkeypatch):
    served = serve(tmp_path, monkeypatch, b"")
    served.unlink()
    with pytest.raises(WeightsError) as error:
        check_weights(config(), eval_only=False, resume=False)
    assert f"save it as {cache / served.name}" in str(error.value)
    assert served.as_uri() in str(error.value)
    assert not cache.exists()


def test_a_file_that_is_not_the_expected_one(tmp_path, cache, monkeypatch):
    serve(tmp_path, monkeypatch, b"an error page", digest="0676ba61")
    with pytest.raises(WeightsError, match="0676ba61"):
        check_weights(config(), eval_only=False, resume=False)
    assert not cache.exists()


def test_a_torn_file_in_the_cache(tmp_path, cache, monkeypatch):
    served = serve(tmp_path, monkeypatch, b"")
    cache.mkdir(parents=True)
    (cache / served.name).write_bytes(b"PK torn")
    with pytest.raises(WeightsError, match=served.name):
        check_weights(config(), eval_only=False, resume=False)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"MODEL.WEIGHTS": "torchvision://resnet101"}, "MODEL.RESNETS.DEPTH: .*101.* 18"),
        ({"INPUT.FORMAT": "BGR"}, "INPUT.FORMAT: .*'RGB'.*'BGR'"),
        ({"MODEL.RESNETS.STRIDE_IN_1X1": True}, "MODEL.RESNETS.STRIDE_IN_1X1: .*False.*True"),
        ({"MODEL.PIXEL_MEAN": [103.53, 116.28, 123.675]}, r"MODEL.PIXEL_MEAN: .*\[123.675, .*found \[103.53, "),
        ({"MODEL.PIXEL_STD": [1.0, 1.0, 1.0]}, r"MODEL.PIXEL_STD: .*\[58.395, .*found \[1.0, 1.0, 1.0\]"),
        ({"MODEL.WEIGHTS": "torchvision://resnet51"}, "MODEL.WEIGHTS: .*resnet50.*resnet51"),
        ({"MODEL.WEIGHTS": "torchvision://vgg16"}, "MODEL.WEIGHTS: .*resnet50.*vgg16"),
    ],
)
def test_a_config_that_the_weights_do_not_fit(cache, overrides, message):
    with pytest.raises((ConfigError, WeightsError), match=message):
        check_weights(config(**overrides), eval_only=False, resume=False)


def test_urls_are_torchvisions_first_weights():
    """Test that URLs are those of MMDetection's torchvision://resnet50 and 101, not of torchvision's newer weights."""
    names = [torchvision_weights._url(name).rsplit("/", 1)[-1] for name in ("resnet50", "resnet101")]
    assert names == ["resnet50-0676ba61.pth", "resnet101-63fe2227.pth"]


def test_the_whole_detector_loads_them(tmp_path):
    """Test that every layer of the backbone in the model of a config gets the weights."""
    state = random_resnet(18).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    model = build_model(config())
    SeesawCheckpointer(model).load(str(tmp_path / "weights.pth"), checkpointables=[])
    own = model.backbone.bottom_up.state_dict()
    names = torchvision_weights.convert_resnet(state)
    assert {name for name in own if not name.endswith("num_batches_tracked")} == set(names)
    assert all(torch.equal(own[name], tensor) for name, tensor in names.items())
