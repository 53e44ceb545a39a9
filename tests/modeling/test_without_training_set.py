"""Test that training a loss without statistics of the training set names the argument and the config key."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.modeling.building import build_model
from tests.modeling.tiny import NUM_CLASSES, tiny_batch, tiny_config

_LOSSES = [name for name, loss in LOSS_REGISTRY if loss.statistics_keys and set(loss.backgrounds) != {"none"}]

_COUNTS = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS", "dataset", "DATASETS.TRAIN", "('missing',)")


@pytest.mark.parametrize("name", ["SeesawLoss", "PairwiseClassBalance"])
def test_class_counts_of_a_data_set_that_cannot_be_read(name):
    """Test that inference works, that counts are loaded, and that training is an error."""
    loss = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", name, "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.LOSS", "SeesawLoss")
    trained = build_model(tiny_config(*loss))
    names = [name for name in trained.state_dict() if name.endswith("class_counts")]
    for index, name in enumerate(names):
        trained.state_dict()[name].copy_(torch.arange(NUM_CLASSES + 1) + index)
    model = build_model(tiny_config(*loss, *_COUNTS)).eval()
    model.load_state_dict(trained.state_dict())
    assert names
    assert all(torch.equal(model.state_dict()[name], trained.state_dict()[name]) for name in names)
    with torch.no_grad():
        assert len(model(tiny_batch())) == len(tiny_batch())
    with EventStorage(), pytest.raises(ValueError, match=r"^class_counts: .*found 'unknown'.*DATASETS\.TRAIN"):
        model.train()(tiny_batch())


@pytest.mark.parametrize("name", _LOSSES)
def test_the_error_names_the_data_sets(name):
    model = build_model(tiny_config("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", name)).train()
    argument = next(iter(LOSS_REGISTRY.get(name).statistics_keys))
    with EventStorage(), pytest.raises(ValueError, match=rf"^{argument}.*found None.*DATASETS\.TRAIN"):
        model(tiny_batch())
