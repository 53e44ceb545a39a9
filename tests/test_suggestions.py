"""Test suggestions of similar names in error messages."""

import pytest

from seesaw_d2.suggestions import did_you_mean, key_suggestion, near_names


def test_the_most_similar_name_comes_first():
    assert near_names("resnet5", ["resnet50", "vgg16", "resnet152"], count=2) == ["resnet50", "resnet152"]
    assert near_names("vgg", ["resnet50"]) == []


def test_no_names_give_no_question():
    assert did_you_mean([]) == ""
    assert did_you_mean(iter(["a", "b"])).endswith("a or b?")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("MODEL.BOX_HEAD.CONV_DIM", "MODEL.BOX_HEAD.CONV_DIMS"),
        ("IMS_PER_BATCHES", "SOLVER.IMS_PER_BATCH"),  # only the last component is similar
        ("QQQ", ""),
    ],
)
def test_a_config_key(key, expected):
    found = key_suggestion(key, iter(["SOLVER.IMS_PER_BATCH", "MODEL.BOX_HEAD.CONV_DIMS"]))
    assert found == did_you_mean([expected] if expected else [])
