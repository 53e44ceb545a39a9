"""Test the comparison of two configs, given as YAML text, key by key."""

import pytest

from seesaw_d2.config.differences import describe, differences, flat_config
from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError


def test_keys_of_nested_values():
    text = "A: {B: 1.0, C: []}\nD: [{E: x}, {E: [1, 2]}]\nF: {}\nG: &g !!python/tuple [a]\nH: *g\n"
    expected = {"A.B": "1.0", "A.C": "[]", "D.0.E": "x", "D.1.E": "[1, 2]", "F": "{}", "G": "[a]", "H": "[a]"}
    assert flat_config(text, "file") == expected


def test_differing_keys_have_both_values():
    before, now = (load_config("", ["SOLVER.BASE_LR", lr, "SEED", lr[-1]]).dump() for lr in ("0.5", "0.25"))
    pair = flat_config(before, "before"), flat_config(now, "now")
    found = differences(*pair, left_out=["SEED"])
    assert found == {"SOLVER.BASE_LR": ("0.5", "0.25")}
    assert describe(found) == "SOLVER.BASE_LR 0.5 before, 0.25 now"
    assert differences({"A": "1", "A.B": "2"}, {"AB": "3"}, left_out=["A"]) == {"AB": ("not set", "3")}


def test_new_keys_with_their_defaults_are_no_difference():
    before = {"SEED": "-1"}
    now = flat_config(load_config("", ["SOLVER.BASE_LR", "0.25"]).dump(), "now")
    assert differences(before, now) == {"SOLVER.BASE_LR": ("not set", "0.25")}
    assert differences({**before, "OLD": "1"}, {**now, "SOLVER.BASE_LR": "0.001"}) == {"OLD": ("1", "not set")}


BOMB = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(12))


@pytest.mark.parametrize("text", ["a: [", "a: &a [*a]", "a: &a {b: *a}", BOMB])
def test_text_that_cannot_be_compared(text):
    with pytest.raises(ConfigError, match=r"^file: "):
        flat_config(text, "file")
