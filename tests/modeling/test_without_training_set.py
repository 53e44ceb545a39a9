"""Test that training a loss without statistics of the training set names the argument and the config key."""

import pytest
from detectron2.utils.events import EventStorage

from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.modeling.building import build_model
from tests.modeling.tiny import tiny_batch, tiny_config

_LOSSES = [name for name, loss in LOSS_REGISTRY if loss.statistics_keys and set(loss.backgrounds) != {"none"}]


@pytest.mark.parametrize("name", _LOSSES)
def test_the_error_names_the_data_sets(name):
    model = build_model(tiny_config("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", name)).train()
    argument = next(iter(LOSS_REGISTRY.get(name).statistics_keys))
    with EventStorage(), pytest.raises(ValueError, match=rf"^{argument}.*found None.*DATASETS\.TRAIN"):
        model(tiny_batch())
