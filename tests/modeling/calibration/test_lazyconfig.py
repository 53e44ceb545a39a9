"""Test that calibrations of LazyConfigs equal those of YAML configs."""

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform

from seesaw_d2.data import register_datasets
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.losses import BalancedGroupSoftmaxLoss, SeesawLoss
from seesaw_d2.modeling import SeesawBoxPredictor
from seesaw_d2.modeling.building import build_model
from seesaw_d2.modeling.calibration import calibration_for
from seesaw_d2.train import load_config

NODE, CLASSES = "MODEL.ROI_HEADS.CALIBRATION", 6


def lazy_predictor(calibration, loss=SeesawLoss, **options):
    return L(SeesawBoxPredictor)(
        input_shape=ShapeSpec(channels=8),
        num_classes=CLASSES,
        box2box_transform=L(Box2BoxTransform)(weights=[10, 10, 5, 5]),
        cls_loss=L(loss)(num_classes="${..num_classes}", **options),
        cls_predictor="Linear",
        calibration=calibration,
    )


@pytest.mark.parametrize(
    ("name", "key", "parameter"),
    [("NorCal", "GAMMA", "gamma"), ("LogitAdjustment", "TAU", "tau"), ("FRACAL", "LAMBDA", "lambda_")],
)
def test_the_calibration_of_a_yaml_config(config_file, name, key, parameter):
    cfg = load_config(str(config_file), [f"{NODE}.NAME", name, f"{NODE}.{key}", 0.7])
    register_datasets(cfg)
    expected = build_model(cfg).roi_heads.box_predictor.calibration
    lazy = L(calibration_for)(name=name, num_classes=CLASSES, datasets=list(cfg.DATASETS.TRAIN), **{parameter: 0.7})
    found = instantiate(lazy_predictor(lazy)).calibration
    assert type(found) is type(expected)
    assert torch.equal(found.log_factors, expected.log_factors)
    assert expected.log_factors.std() > 0


def test_alternatives_of_norcal(config_file):
    own = {"factor": "effective_number", "beta": 0.9, "scaled": "logits"}
    keys = [text for key, value in own.items() for text in (f"{NODE}.NORCAL.{key.upper()}", value)]
    cfg = load_config(str(config_file), [f"{NODE}.NAME", "NorCal", *keys])
    register_datasets(cfg)
    expected = build_model(cfg).roi_heads.box_predictor.calibration
    found = calibration_for("NorCal", CLASSES, datasets=list(cfg.DATASETS.TRAIN), **own)
    assert torch.equal(found.log_factors, expected.log_factors)
    assert found.scaled == expected.scaled == "logits"


def test_tau_normalization_needs_no_data():
    lazy = L(calibration_for)(name="TauNormalization", num_classes=CLASSES, tau=0.3)
    assert instantiate(lazy_predictor(lazy)).calibration.tau == 0.3


def test_mistakes():
    with pytest.raises(ConfigError, match="NorCall"):
        instantiate(L(calibration_for)(name="NorCall", num_classes=CLASSES, gamma=1.0))
    with pytest.raises(ConfigError, match=r"DATASETS\.TRAIN"):
        instantiate(L(calibration_for)(name="NorCal", num_classes=CLASSES, gamma=1.0))
    lazy = L(calibration_for)(name="TauNormalization", num_classes=CLASSES, tau=0.3)
    with pytest.raises(SeesawError, match="BalancedGroupSoftmaxLoss"):
        instantiate(lazy_predictor(lazy, BalancedGroupSoftmaxLoss, instance_counts=[1, 10, 100, 1000, 1, 1]))
