"""Test patterns of parameter names."""

import pytest

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.parameter_patterns import select

NAMES = [
    "backbone.stem.weight",
    "backbone.stem.norm.bias",
    "roi_heads.box_predictor.cls_score.weight",
    "roi_heads.box_predictor.cls_score.bias",
    "roi_heads.box_predictor.bbox_pred.weight",
    "roi_heads.box_head.fc1.weight",
]
STAGES = ["roi_heads.box_predictor.0.cls_score.weight", "roi_heads.box_predictor.1.cls_score.weight"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*"], range(6)),
        (["backbone"], [0, 1]),
        (["backbone.stem.norm"], [1]),
        (["*.bias"], [1, 3]),
        (["roi_heads.box_predictor*.cls_score"], [2, 3]),
        (["roi_heads.box_*.fc?"], [5]),
        (["backbone", "roi_heads.box_head"], [0, 1, 5]),
        ([], []),
    ],
    ids=str,
)
def test_patterns(patterns, expected):
    assert select(NAMES, patterns, "KEY") == {NAMES[index] for index in expected}


def test_one_pattern_for_one_classifier_and_for_several():
    assert select(STAGES, ["roi_heads.box_predictor*.cls_score"], "KEY") == set(STAGES)


@pytest.mark.parametrize("pattern", ["back", "Backbone", "stem", "box_predictor.cls_score"])
def test_part_of_a_name_is_no_match(pattern):
    with pytest.raises(ConfigError, match="KEY"):
        select(NAMES, [pattern], "KEY")


def test_nearest_names_are_listed():
    with pytest.raises(ConfigError, match=r"KEY\[1\].*cls_scores.*roi_heads\.box_predictor\.cls_score\b"):
        select(NAMES, ["*", "roi_heads.box_predictor.cls_scores"], "KEY")
    with pytest.raises(ConfigError, match=r": backbone, roi_heads$"):
        select(NAMES, ["zzzz"], "KEY")
    with pytest.raises(ConfigError, match=r"KEY\[0\]: expected .*, found 3"):
        select(NAMES, [3], "KEY")
