"""Test heads in other programs: warnings about keys that are not read, and errors for unsupported options."""

import logging
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultPredictor
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY, SeesawLoss
from seesaw_d2.modeling import SeesawBoxPredictor, building
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.job_checks import check_names
from tests.losses.test_contract import batch, every_loss, make
from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config

ROOT = Path(__file__).parents[2]
LOSS = "MODEL.ROI_BOX_HEAD.CLS_LOSS"
DIGITS = str(ROOT / "configs/digits/seesaw.yaml")


@pytest.fixture(autouse=True)
def nothing_said_yet():
    building._warn.cache_clear()


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name == building.__name__]


def test_keys_that_another_trainer_leaves_unread_are_named_once(caplog):
    caplog.set_level(logging.WARNING)
    keys = {
        "SOLVER.EPOCHS": 24.0,
        "SOLVER.STEP_EPOCHS": [16, 22],
        "MODEL.FREEZE.NAMES": ["*"],
        "DATALOADER.SAMPLER_TRAIN": "ClassAwareSampler",
        f"{LOSS}.PCB.START_EPOCH": 2.0,
    }
    cfg = tiny_config(*(word for pair in keys.items() for word in pair))
    build_model(cfg)
    build_model(cfg)
    (message,) = warnings(caplog)
    assert all(key in message for key in keys)
    assert "\n" not in message
    assert "REFERENCE_BATCH_SIZE" not in message  # this key is not set


def test_this_projects_programs_read_them(caplog):
    cfg = tiny_config("SOLVER.EPOCHS", 24.0)
    check_names(cfg)  # train_net.py and demo.py first call this function
    building.build_model(cfg)
    assert not warnings(caplog)


def test_nothing_is_said_where_all_is_read(caplog):
    cfg = tiny_config(f"{LOSS}.SEESAW.P", 0.5, "MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead")
    for key in building.trainer_keys(cfg):  # keys that the tiny model sets
        cfg.merge_from_list([key, building.read_value(building._defaults(), key)])
    build_model(cfg)
    assert not warnings(caplog)


class Recording(CfgNode):
    """Record the keys of a config that are read."""

    read: set[str] = set()  # noqa: RUF012

    def __getitem__(self, name):
        self._note(name)
        return super().__getitem__(name)

    def __getattr__(self, name):
        self._note(name)
        return super().__getattr__(name)

    def _note(self, name):
        Recording.read.add(f"{dict.get(self, '_place', '')}{name}")


def recording(cfg, place=""):
    node = Recording()
    for name, value in cfg.items():
        inner = recording(value, f"{place}{name}.") if isinstance(value, CfgNode) else value
        dict.__setitem__(node, name, inner)
    dict.__setitem__(node, "_place", place)
    return node


def test_the_guide_says_who_reads_a_key(monkeypatch):
    """Build every head, loss, backbone and classifier, and run a step, with a config that records the keys that are
    read."""
    counts = torch.arange(1, 8)
    monkeypatch.setattr("seesaw_d2.modeling.building.trainer_keys", lambda cfg: [])  # it reads all keys
    monkeypatch.setattr("seesaw_d2.modeling.building.provide_names", lambda cfg: None)  # it reads datasets
    Recording.read = set()
    normed = ("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead")
    configs = [tiny_config(*normed), tiny_config(*CASCADE, *normed)]
    configs += [tiny_config("MODEL.ROI_HEADS.NAME", "IterativeROIHeads"), load_config(DIGITS, ["MODEL.DEVICE", "cpu"])]
    known = type(
        "Known",
        (),
        {"image_count": counts.numpy(), "instance_count": counts, "num_annotated_images": 100, "num_images": 100},
    )
    calibration = "seesaw_d2.modeling.calibration.statistics"
    monkeypatch.setattr(f"{calibration}.training_fractal_dimensions", lambda cfg, count: [1.5] * count)
    for module in ("seesaw_d2.modeling.box_predictor", "seesaw_d2.data.records.statistics", calibration):
        monkeypatch.setattr(f"{module}.training_statistics", lambda cfg: known)
    for name, loss in LOSS_REGISTRY:
        if loss.backgrounds != ("none",):
            configs.append(tiny_config(f"{LOSS}.NAME", name))
        if "none" in loss.backgrounds:
            configs.append(load_config(DIGITS, ["MODEL.DEVICE", "cpu", f"{LOSS}.NAME", name]))
    configs += [
        tiny_config("MODEL.ROI_HEADS.CALIBRATION.NAME", name) for name in ("NorCal", "LogitAdjustment", "FRACAL")
    ]
    for cfg in configs:
        model = build_model(recording(cfg))
    model = build_model(recording(configs[0])).train()
    with EventStorage():
        model(tiny_batch())
    lines = (ROOT / "docs/config.md").read_text().splitlines()
    rows = [re.match(r"\| `([^`]+)` \|.*? \| (\S+) \|", line) for line in lines]
    readers = dict(row.groups() for row in rows if row)
    found = {key for key in readers if key in Recording.read}
    assert {key for key, reader in readers.items() if reader != "`train_net.py`"} == found
    assert {key for key in building.own_keys() if building.read_by_models(key)} == found
    assert set(readers) == set(building.own_keys())


@pytest.mark.parametrize("path", [DIGITS, str(ROOT / "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml")])
def test_a_device_that_detectron2_does_not_know(path):
    with pytest.raises(ConfigError, match=r"MODEL\.DEVICE.*auto"):
        DefaultPredictor(load_config(path, ["DATASETS.TEST", "()", "MODEL.DEVICE", "auto"]))


@pytest.mark.parametrize("name", ["use_sigmoid_ce", "use_fed_loss", "mult_proposal_score"])
def test_options_of_other_predictors(name):
    arguments = {
        "box2box_transform": Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
        "num_classes": 3,
        "cls_loss": SeesawLoss(3),
    }
    SeesawBoxPredictor(ShapeSpec(channels=8), **arguments, **{name: False})
    with pytest.raises(ValueError, match=name):
        SeesawBoxPredictor(ShapeSpec(channels=8), **arguments, **{name: True})


@pytest.mark.parametrize("heads", ["SeesawROIHeads", "SeesawCascadeROIHeads", "IterativeROIHeads"])
def test_scores_of_proposals_are_not_multiplied(heads):
    options = CASCADE if "Cascade" in heads else ()
    cfg = tiny_config(*options, "MODEL.ROI_HEADS.NAME", heads)
    cfg.MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE = True
    with pytest.raises(ConfigError, match="MULT_PROPOSAL_SCORE"):
        build_model(cfg)
    cfg.MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE = False
    model = build_model(cfg).eval()
    model.roi_heads.mult_proposal_score = True
    with pytest.raises(ValueError, match="mult_proposal_score"):
        model(tiny_batch())


@every_loss
def test_a_wrong_width_says_which_layer_is_needed(name, background):
    loss = make(name, background)
    logits, labels = batch(loss)
    calls = [lambda z: loss(z, labels), loss.probabilities]
    for wrong in (logits[:, 1:], torch.cat([logits, logits[:, :1]], dim=1)):
        for call in calls:
            with pytest.raises(ValueError, match="num_logits") as raised:
                call(wrong)
            assert background in str(raised.value)
            assert f"= {loss.num_logits} outputs" in str(raised.value)


@pytest.mark.parametrize("heads", ["SeesawROIHeads", "SeesawCascadeROIHeads", "IterativeROIHeads"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.ROI_BOX_HEAD.NAME", ""),
        ("MODEL.PROPOSAL_GENERATOR.NAME", "RRPN"),
        ("MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
    ],
)
def test_models_that_heads_are_not_for(heads, key, value):
    from seesaw_d2.train.preflight.config_checks import check_names

    options = CASCADE if "Cascade" in heads else ()
    cfg = tiny_config(*options, "MODEL.ROI_HEADS.NAME", heads, key, value)
    with pytest.raises(ConfigError, match=re.escape(key)):
        check_names(cfg)


@pytest.mark.parametrize("name", ["RetinaNet", "ProposalNetwork", "FCOS"])
def test_meta_architectures_without_our_loss_or_data(name):
    from seesaw_d2.train.preflight.config_checks import check_names

    with pytest.raises(ConfigError, match=rf"MODEL\.META_ARCHITECTURE.*{name}"):
        check_names(tiny_config("MODEL.META_ARCHITECTURE", name))
