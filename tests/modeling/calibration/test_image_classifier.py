"""Test that MODEL.ROI_HEADS.CALIBRATION changes the probabilities of an ImageClassifier by its formula."""

import json

import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config
from seesaw_d2.weights.tau_checkpoint import tau_normalize

NODE, LOSS = "MODEL.ROI_HEADS.CALIBRATION", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"
COUNTS = torch.tensor([1.0, 2, 5, 9, 20, 40, 80, 160, 320, 640], dtype=torch.float64)


@pytest.fixture
def build(tmp_path):
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({"class_counts": COUNTS.long().tolist()}))

    def of(*overrides, counts=str(path)):
        source = (f"{NODE}.COUNTS", counts) if counts else ()
        return build_model(load_config("configs/digits/ce.yaml", ["MODEL.DEVICE", "cpu", *overrides, *source])).eval()

    return of


def probabilities(model, logits):
    """Return the outputs of a model for logits (N, C) of its classifier."""
    model.backbone.forward = lambda images: {model._feature: logits}
    model.classifier.forward = lambda features: features
    images = [{"image": torch.zeros(3, 4, 4)}] * len(logits)
    return torch.stack([each["probabilities"] for each in model(images)])


LOGITS = 3 * torch.randn(16, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "SeesawLoss"])
@pytest.mark.parametrize(("name", "key"), [("NorCal", "GAMMA"), ("LogitAdjustment", "TAU")])
def test_softmax(build, loss, name, key):
    model = build(f"{NODE}.NAME", name, f"{NODE}.{key}", 0.7, LOSS, loss)
    expected = (LOGITS - 0.7 * COUNTS.log()).softmax(dim=1)
    torch.testing.assert_close(probabilities(model, LOGITS), expected)


def test_alternatives_of_norcal(build):
    model = build(f"{NODE}.NAME", "NorCal", f"{NODE}.NORCAL.NORMALIZE", False)
    torch.testing.assert_close(probabilities(model, LOGITS), LOGITS.softmax(dim=1) * COUNTS**-0.6)
    model = build(f"{NODE}.NAME", "NorCal", f"{NODE}.NORCAL.SCALED", "logits")
    torch.testing.assert_close(probabilities(model, LOGITS), (LOGITS * COUNTS**-0.6).softmax(dim=1))


def test_sigmoids(build):
    model = build(f"{NODE}.NAME", "NorCal", LOSS, "FocalLoss")
    torch.testing.assert_close(probabilities(model, LOGITS), (LOGITS - 0.6 * COUNTS.log()).sigmoid())


def test_tau_normalization(build):
    keys = (f"{NODE}.NAME", "TauNormalization", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear")
    calibrated, plain = build(*keys, f"{NODE}.TAU", 0.6, counts=""), build()
    with torch.no_grad():
        calibrated.classifier.weight.mul_(torch.arange(1, 11)[:, None])
        plain.load_state_dict(calibrated.state_dict())
        plain.classifier.weight.copy_(tau_normalize(plain.classifier.weight, 10, 0.6))
        images = [{"image": 255 * torch.rand(3, 8, 8)} for _ in range(3)]
        for one, other in zip(calibrated(images), plain(images), strict=True):
            torch.testing.assert_close(one["probabilities"], other["probabilities"])


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        ((f"{NODE}.NAME", "FRACAL"), "NAME", "FRACAL"),
        ((f"{NODE}.NAME", "NorCal", f"{NODE}.GAMMA", -1.0), "GAMMA", "-1.0"),
    ],
)
def test_mistakes(build, overrides, key, value):
    with pytest.raises(ConfigError, match=f"{NODE}.{key}") as error:
        build(*overrides)
    assert value in str(error.value)
