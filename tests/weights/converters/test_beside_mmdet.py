"""Test that MMDetection's models and the converted models give the same detections on the same image.

Run with ``-s`` to print the differences.
"""

import itertools

import pytest
import torch

from seesaw_d2.train import load_config
from seesaw_d2.weights.converters import describe_mmdet
from tests.weights.converters.detections import distance, ours, theirs, write_picture
from tests.weights.converters.mmdet_on_cpu import build_mmdet, mmdet_config, require_mmdet
from tests.weights.converters.random_weights import calibrate, random_state

SIZE = (400, 240)  # width and height of the resized picture
COUNT = 50  # number of detections
MODELS = list(itertools.product(("mask", "cascade-mask"), (50, 101), ("", "-normed-mask")))


def small(family, depth, mask):
    """Return MMDetection's config. The config of Cascade R-50 is the config of Cascade R-101 with another depth."""
    named = 101 if family == "cascade-mask" else depth
    cfg = mmdet_config(f"seesaw_loss/{family}-rcnn_r{named}_fpn_seesaw-loss{mask}_random-ms-2x_lvis-v1")
    cfg.model.backbone.depth = depth
    cfg.test_pipeline[1]["scale"] = SIZE
    cfg.model.test_cfg.rcnn.max_per_img = COUNT
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize(("family", "depth", "mask"), MODELS, ids=lambda value: str(value) or "-linear-mask")
def test_the_same_detections(family, depth, mask, tmp_path):
    require_mmdet()
    picture = write_picture(tmp_path / "picture.png", 333, 555)
    cfg = small(family, depth, mask)
    state, expected = reference(cfg, picture)
    described = describe_mmdet(state, {"cfg": cfg.pretty_text})
    assert (described.cascade, described.depth, described.normed_mask) == (family != "mask", depth, bool(mask))
    overrides = [*described.overrides, "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "INPUT.MIN_SIZE_TEST", SIZE[1]]
    overrides += ["INPUT.MAX_SIZE_TEST", SIZE[0], "TEST.DETECTIONS_PER_IMAGE", COUNT]
    found = ours(load_config(described.config, overrides), state, picture)
    result = distance(found, expected)
    classes, same_order = len(expected.labels.unique()), torch.equal(found.labels, expected.labels)
    highest = expected.scores.max().item()
    print(f"\n{family}-rcnn R-{depth}{mask}: {classes} classes, scores up to {highest:.2g}, {same_order=}, {result}")
    assert len(expected.labels) == len(found.labels) == result.matched == COUNT
    assert classes > 5
    assert result.scores <= 1e-5 * highest
    assert expected.masks.any()
    assert result.pixels <= 1


def reference(cfg, picture):
    """Return MMDetection's calibrated random weights, and its detections."""
    model = build_mmdet(cfg)
    model.load_state_dict(random_state({key: value.shape for key, value in model.state_dict().items()}))
    calibrate(model, lambda: theirs(model, cfg, picture))
    return model.state_dict(), theirs(model, cfg, picture)
