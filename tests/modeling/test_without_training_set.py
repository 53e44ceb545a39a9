"""Test that training a loss without statistics of the training set names the argument and the config key."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.preflight.categories import check_recorded_counts
from tests.modeling.tiny import NUM_CLASSES, tiny_batch, tiny_config

_LOSSES = [name for name, loss in LOSS_REGISTRY if loss.statistics_keys and set(loss.backgrounds) != {"none"}]

_KEY = "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS"
_COUNTS = {
    "unknown": (_KEY, "dataset", "DATASETS.TRAIN", "('missing',)"),
    "unknown: absent/counts.json: ": (_KEY, "absent/counts.json"),
}


@pytest.mark.parametrize("found", _COUNTS)
@pytest.mark.parametrize("name", ["SeesawLoss", "PairwiseClassBalance"])
def test_class_counts_that_cannot_be_read(name, found):
    """Test that inference works, that counts are loaded, and that training is an error."""
    loss = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", name, "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.LOSS", "SeesawLoss")
    trained = build_model(tiny_config(*loss))
    names = [name for name in trained.state_dict() if name.endswith("class_counts")]
    for index, name in enumerate(names):
        trained.state_dict()[name].copy_(torch.arange(NUM_CLASSES + 1) + index)
    model = build_model(tiny_config(*loss, *_COUNTS[found])).eval()
    model.load_state_dict(trained.state_dict())
    assert names
    assert all(torch.equal(model.state_dict()[name], trained.state_dict()[name]) for name in names)
    with torch.no_grad():
        assert len(model(tiny_batch())) == len(tiny_batch())
    with EventStorage(), pytest.raises(ValueError, match=rf"^class_counts: .*found '{found}.*DATASETS\.TRAIN"):
        model.train()(tiny_batch())


@pytest.mark.parametrize("name", _LOSSES)
def test_the_error_names_the_data_sets(name):
    model = build_model(tiny_config("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", name)).train()
    argument = next(iter(LOSS_REGISTRY.get(name).statistics_keys))
    with EventStorage(), pytest.raises(ValueError, match=rf"^{argument}.*found None.*DATASETS\.TRAIN"):
        model(tiny_batch())


def test_a_training_needs_the_file_of_class_counts():
    with pytest.raises(ConfigError, match=rf"^{_KEY}: .*found 'absent/counts\.json'"):
        check_recorded_counts(tiny_config(_KEY, "absent/counts.json"))
