"""Test that TEST.AUG raises an error for models that do not support test-time augmentation."""

import pytest
from detectron2.modeling import build_model
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.tasks import CLASSIFICATION, DETECTION
from tests.modeling.tiny import tiny_config


@pytest.fixture(scope="module")
def model():
    return build_model(tiny_config())


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        (["MODEL.LOAD_PROPOSALS", "True"], "MODEL.LOAD_PROPOSALS"),
        (["MODEL.KEYPOINT_ON", "True"], "MODEL.KEYPOINT_ON"),
    ],
)
def test_models_that_cannot_be_augmented(model, overrides, found):
    cfg = tiny_config(*overrides)
    DETECTION.check_model(cfg, model)
    cfg.TEST.AUG.ENABLED = True
    with pytest.raises(ConfigError, match=rf"TEST\.AUG\.ENABLED: .*{found}"):
        DETECTION.check_model(cfg, model)
    DETECTION.check_model(tiny_config("TEST.AUG.ENABLED", "True"), model)


@pytest.mark.parametrize(("task", "architecture"), [(DETECTION, "RetinaNet"), (CLASSIFICATION, "ImageClassifier")])
def test_architectures_that_cannot_be_augmented(task, architecture):
    cfg = tiny_config("TEST.AUG.ENABLED", "True", "MODEL.META_ARCHITECTURE", architecture)
    with pytest.raises(ConfigError, match=rf"TEST\.AUG\.ENABLED: .*{architecture}"):
        task.check_model(cfg, nn.Identity())
