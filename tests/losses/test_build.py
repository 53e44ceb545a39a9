"""build_loss: from config values to a loss, and what it says about wrong ones."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from fvcore.common.config import CfgNode

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY, CrossEntropyLoss, SeesawLoss, build_loss

KEY = "MODEL.ROI_BOX_HEAD.CLS_LOSS"


def make_cfg(**changes):
    """A config with the node that add_seesaw_config adds; SEESAW_P is CLS_LOSS.SEESAW.P."""
    loss = {"NAME": "SeesawLoss", "BACKGROUND": "objectness"}
    loss["SEESAW"] = {"P": 0.8, "Q": 2.0, "EPS": 0.01, "CLASS_COUNTS": "online"}
    for key, value in changes.items():
        if key.startswith("SEESAW_"):
            loss["SEESAW"][key.removeprefix("SEESAW_")] = value
        else:
            loss[key] = value
    return CfgNode({"MODEL": {"ROI_BOX_HEAD": {"CLS_LOSS": loss}}})


def statistics(counts):
    return lambda: SimpleNamespace(instance_count=np.array(counts, dtype=np.int64))


def never():
    raise AssertionError("the statistics are not needed")


def test_seesaw_gets_every_value():
    cfg = make_cfg(BACKGROUND="class", SEESAW_P=0.5, SEESAW_Q=1.0, SEESAW_EPS=0.1)
    loss = build_loss(cfg, 4, never)
    assert isinstance(loss, SeesawLoss)
    assert (loss.num_classes, loss.background, loss.p, loss.q, loss.eps) == (4, "class", 0.5, 1.0, 0.1)
    assert loss.online
    assert loss.sync


def test_cross_entropy():
    loss = build_loss(make_cfg(NAME="CrossEntropyLoss"), 4)
    assert type(loss) is CrossEntropyLoss
    assert loss.background == "objectness"


@pytest.mark.parametrize(("background", "last"), [("objectness", 8), ("class", 8)])
def test_counts_of_the_dataset(background, last):
    cfg = make_cfg(SEESAW_CLASS_COUNTS="dataset", BACKGROUND=background)
    loss = build_loss(cfg, 3, statistics([1, 8, 2]))
    assert not loss.online
    assert loss.class_counts.tolist() == [1, 8, 2, last]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"NAME": "SeasawLoss"},
            f'{KEY}.NAME: expected one of .*"CrossEntropyLoss".*"SeesawLoss".*, found \'SeasawLoss\'; '
            'did you mean "SeesawLoss"',
        ),
        (
            {"BACKGROUND": "objectnes"},
            f'{KEY}.BACKGROUND: expected one of "objectness", "class", found \'objectnes\'; did you mean "objectness"',
        ),
        ({"BACKGROUND": "none"}, f'{KEY}.BACKGROUND: expected one of "objectness", "class", found \'none\''),
        ({"SEESAW_P": -1.0}, f"{KEY}.SEESAW.P: expected a number >= 0, found -1.0"),
        ({"SEESAW_Q": "x"}, f"{KEY}.SEESAW.Q: expected a number >= 0, found 'x'"),
        ({"SEESAW_EPS": 0.0}, rf"{KEY}.SEESAW.EPS: expected a number in \(0, 1\], found 0.0"),
        (
            {"SEESAW_CLASS_COUNTS": "offline"},
            f'{KEY}.SEESAW.CLASS_COUNTS: expected "online", "dataset" or the path of .*, found \'offline\'',
        ),
        (
            {"SEESAW_CLASS_COUNTS": "dataset"},
            f"{KEY}.SEESAW.CLASS_COUNTS: expected \"online\" .*, found 'dataset'",
        ),
    ],
)
def test_wrong_values_name_the_key(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_loss(make_cfg(**changes), 4)


def test_no_suggestion_where_nothing_is_near():
    with pytest.raises(ConfigError) as caught:
        build_loss(make_cfg(NAME="xyz"), 4)
    assert "did you mean" not in str(caught.value)


def test_statistics_of_another_dataset():
    cfg = make_cfg(SEESAW_CLASS_COUNTS="dataset")
    with pytest.raises(ConfigError, match=rf"{KEY}.SEESAW.CLASS_COUNTS: .*\(4,\).*found \(3,\)"):
        build_loss(cfg, 4, statistics([1, 8, 2]))


@pytest.mark.parametrize("name", sorted(name for name, _ in LOSS_REGISTRY))
def test_config_keys_name_arguments_of_the_constructor(name):
    loss_class = LOSS_REGISTRY.get(name)
    assert set(loss_class.config_keys) <= set(inspect.signature(loss_class).parameters)
