"""Test that converted tiny models give the detections that MMDetection's tiny models gave."""

import importlib.util
import runpy

import pytest

from tests.weights.converters.detections import distance, ours
from tests.weights.converters.tiny import COUNT, NAMES, picture, read_golden, tiny_config

# Larger than in the comparison with MMDetection, because another processor may have written the numbers. On the same
# processor, the differences are 2e-5 pixels and 3e-7.
TOLERANCES = {"box": 1e-2, "score": 1e-5}


def compare(name, folder, *overrides):
    state, expected = read_golden(name)
    cfg = tiny_config(name)
    cfg.merge_from_list(list(overrides))
    return distance(ours(cfg, state, picture(folder)), expected, **TOLERANCES)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_detections(name, tmp_path):
    result = compare(name, tmp_path)
    assert result.matched == COUNT, result
    assert result.pixels <= 1


@pytest.mark.parametrize(
    "overrides",
    [
        ("MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "probabilities"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS", ((10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15))),
        ("MODEL.RESNETS.STRIDE_IN_1X1", True),
        ("INPUT.FORMAT", "BGR"),
    ],
    ids=lambda pair: pair[0],
)
def test_what_differs_is_noticed(overrides, tmp_path):
    """Test that each key is necessary. Without the key, detections are those of Detectron2's defaults, and differ."""
    assert compare("cascade-mask", tmp_path, *overrides).matched < COUNT


def test_normalized_masks_are_others(tmp_path):
    """Test that the kind of mask prediction is necessary, because both kinds have the same parameters."""
    state, expected = read_golden("mask-normed-mask")
    result = distance(ours(tiny_config("mask"), state, picture(tmp_path)), expected, **TOLERANCES)
    assert result.matched == COUNT
    assert result.pixels > 100


def test_the_golden_files_are_not_made_without_mmdetection(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "mmdet" else found(name, *rest)
    )
    with pytest.raises(SystemExit, match=r"^error: needs mmdet.*: pip install .* \(docs/published-models\.md\)$"):
        runpy.run_module("tests.weights.converters.tiny", run_name="__main__")
