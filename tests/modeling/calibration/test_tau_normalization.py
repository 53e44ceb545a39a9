"""Test that the calibration TauNormalization equals a classifier rescaled by tools/tau_normalize.py."""

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform

from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling.box_predictor import SeesawBoxPredictor
from seesaw_d2.modeling.calibration import TauNormalization
from seesaw_d2.modeling.heads_checks import check_heads_config
from seesaw_d2.weights.tau_checkpoint import tau_normalize
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config

NODE, LINEAR = "MODEL.ROI_HEADS.CALIBRATION", ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear")
LOSS = "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"
LOGITS = ("MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "logits")


def config(*overrides, tau=0.7) -> CfgNode:
    low = ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0)
    return tiny_config(*LINEAR, *low, f"{NODE}.NAME", "TauNormalization", f"{NODE}.TAU", tau, *overrides)


def predictors(model):
    return [each for each in model.modules() if isinstance(each, SeesawBoxPredictor)]


@pytest.mark.parametrize("head", [(), CASCADE])
@pytest.mark.parametrize("loss", ["SeesawLoss", "CrossEntropyLoss", "FocalLoss", "EqualizationLossV2"])
def test_the_weights_of_the_tool(head, loss):
    torch.manual_seed(0)
    calibrated = build_model(config(*head, LOSS, loss)).eval()
    plain = build_model(config(*head, LOSS, loss, f"{NODE}.NAME", "", f"{NODE}.TAU", 1.0)).eval()
    with torch.no_grad():
        for each in predictors(calibrated):
            each.cls_score.weight.mul_(30 * torch.rand(len(each.cls_score.weight), 1))
            each.cls_score.weight[1] = 0  # a zero weight has no norm to normalize
            each.cls_score.bias.normal_()
        plain.load_state_dict(calibrated.state_dict())
        for each in predictors(plain):
            each.cls_score.weight.copy_(tau_normalize(each.cls_score.weight, NUM_CLASSES, 0.7))
        found, expected = (
            [model([image])[0]["instances"] for image in tiny_batch((0, 0))] for model in (calibrated, plain)
        )
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other) > 0
        torch.testing.assert_close(one.scores, other.scores)


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "NormedLinear"), "CLS_PREDICTOR", "NormedLinear"),
        (("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "LWSLinear"), "CLS_PREDICTOR", "LWSLinear"),
        ((*CASCADE, *LOGITS), "AVERAGE", "logits"),
        ((f"{NODE}.TAU", -1.0), f"{NODE}.TAU", "-1.0"),
    ],
)
def test_where_it_means_nothing(overrides, key, value):
    with pytest.raises(ConfigError, match=key) as error:
        build_model(config(*overrides))
    assert value in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "value"),
    [
        ((f"{NODE}.NAME", "NorCal", LOSS, "EffectiveClassMarginLoss"), "EffectiveClassMarginLoss"),
        ((f"{NODE}.NAME", "FRACAL", LOSS, "BalancedGroupSoftmaxLoss"), "BalancedGroupSoftmaxLoss"),
        (("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "NormedLinear"), "NormedLinear"),
        ((f"{NODE}.NAME", "NorCall"), "NorCall"),
    ],
)
def test_found_before_data_are_read(overrides, value):
    """Test that errors are found before data is read. There is no training set in this test."""
    with pytest.raises(ConfigError, match=f"{NODE}.NAME") as error:
        check_heads_config(config(*overrides))
    assert value in str(error.value)


def test_a_predictor_from_arguments():
    """Test that the constructor accepts a calibration, as in LazyConfigs."""
    options = {"num_classes": 3, "box2box_transform": Box2BoxTransform((1, 1, 1, 1)), "cls_loss": SeesawLoss(3)}
    with pytest.raises(SeesawError, match="NormedLinear"):
        SeesawBoxPredictor(ShapeSpec(channels=8), **options, calibration=TauNormalization(3, 0.5))
