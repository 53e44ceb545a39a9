"""Test that a wrong loss, parameter of a loss or classifier is an error before the training set is read."""

import re
from typing import ClassVar

import pytest

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY, CrossEntropyLoss
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.config_checks import check_names

CLASSIFIER, CLS_LOSS = "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR", "MODEL.ROI_BOX_HEAD.CLS_LOSS"
NAME = f"{CLS_LOSS}.NAME"
CPU = ("MODEL.DEVICE", "cpu")
MASK, CASCADE, RETINANET, FCOS, SEMANTIC, DIGITS = (
    f"configs/{name}.yaml"
    for name in (
        "quickstart/mask_rcnn_glyphs_seesaw",
        "quickstart/cascade_mask_rcnn_glyphs_seesaw",
        "quickstart/retinanet_glyphs_focal",
        "quickstart/fcos_glyphs_focal",
        "quickstart/semantic_glyphs_seesaw",
        "digits/seesaw",
    )
)


class NeedsCounts(CrossEntropyLoss):
    """Loss that cannot be built without the training set."""

    statistics_keys: ClassVar[dict[str, str]] = {"instance_counts": "instance_count"}

    def __init__(self, num_classes, *, instance_counts, background="class"):
        super().__init__(num_classes, background=background)
        self.total = sum(instance_counts)


@pytest.mark.parametrize(
    ("config", "overrides", "key"),
    [
        (MASK, (NAME, "SeesawLos"), NAME),
        (MASK, (NAME, "PairwiseClassBalance", f"{CLS_LOSS}.PCB.LOSS", "FocalLoss"), f"{CLS_LOSS}.PCB.LOSS"),
        (MASK, (f"{CLS_LOSS}.BACKGROUND", "none"), f"{CLS_LOSS}.BACKGROUND"),
        (MASK, (f"{CLS_LOSS}.SEESAW.P", "-1.0"), f"{CLS_LOSS}.SEESAW.P"),
        (MASK, (f"{CLS_LOSS}.SEESAW.CLASS_COUNTS", "onlin"), f"{CLS_LOSS}.SEESAW.CLASS_COUNTS"),
        (MASK, (f"{CLASSIFIER}.NAME", "Cosine"), f"{CLASSIFIER}.NAME"),
        (CASCADE, (NAME, "BalancedGroupSoftmaxLoss", f"{CLS_LOSS}.BAGS.BETA", "-1.0"), f"{CLS_LOSS}.BAGS.BETA"),
        (DIGITS, (NAME, "SoftmaxSeesawLoss"), NAME),
        (DIGITS, (f"{CLASSIFIER}.TEMPERATURE", "0.0"), f"{CLASSIFIER}.TEMPERATURE"),
        (RETINANET, (NAME, "SeesawLoss"), NAME),
        (FCOS, (f"{CLS_LOSS}.FOCAL.GAMMA", "-1.0"), f"{CLS_LOSS}.FOCAL.GAMMA"),
        (SEMANTIC, (NAME, "FocalLoss"), NAME),
        (SEMANTIC, (f"{CLS_LOSS}.SEESAW.Q", "-1.0"), f"{CLS_LOSS}.SEESAW.Q"),
    ],
)
def test_the_key_is_named(config, overrides, key):
    check_names(load_config(config, CPU))
    with pytest.raises(ConfigError, match=f"^{re.escape(key)}: "):
        check_names(load_config(config, [*CPU, *overrides]))


def test_class_counts_are_not_read(tmp_path):
    (tmp_path / "counts.json").touch()
    for source in ("online", "dataset", str(tmp_path / "counts.json")):
        check_names(load_config(MASK, [*CPU, f"{CLS_LOSS}.SEESAW.CLASS_COUNTS", source]))


def test_a_loss_that_needs_the_training_set_is_no_mistake(monkeypatch):
    monkeypatch.setitem(LOSS_REGISTRY._obj_map, "NeedsCounts", NeedsCounts)
    check_names(load_config(MASK, [*CPU, NAME, "NeedsCounts"]))
