"""Test the parsing of config texts: assigned values, and texts that are not configs."""

import pytest

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.weights.converters.mmdet_config_text import MAX_TEXT, NotLiteral, parse_config_text
from seesaw_d2.weights.converters.mmdet_file import read_settings


def test_values_of_a_text():
    text = """
import os
base = dict(lr=0.1 * 2, _delete_=True, steps=(8, -11))
root = 'data/' + 'lvis'
model: dict = dict(**base, type='M', **{'a-b': None})
computed = [os.getcwd(), len(root), 1 / 0, 9**9**9, {1: [True]}]
"""
    found = parse_config_text(text)
    assert found["model"] == {"lr": 0.2, "steps": [8, -11], "type": "M", "a-b": None}
    assert found["root"] == "data/lvis"
    assert all(isinstance(value, NotLiteral) for value in found["computed"][:4])
    assert found["computed"][4] == {"1": [True]}


HOSTILE = [
    "model = dict(",
    "model['a'] = 1",
    "model = dict()\nmodel.update(a=1)",
    "for i in range(10**9): x = i",
    "with read_base(): pass",
    "exec('1')",
    "x = " + "(" * 5000,
    "x = " + "-" * 50_000 + "1",
    "x = " + "[" * 150 + "]" * 149,
    "a = 1\x00",
    "x = '" + "a" * MAX_TEXT + "'",
    "# " + "a" * 10_000_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20].encode("unicode_escape").decode())
def test_texts_that_are_no_configs(text):
    with pytest.raises(ConfigError, match=r"in\.pth: config text"):
        read_settings({"cfg": text}, "in.pth", must_read=True)
    # With a given config, an unreadable text is only a note that nothing was compared.
    settings, notes = read_settings({"cfg": text}, "in.pth", must_read=False)
    assert settings.keys == {}
    assert "config text" in notes[0]
    with pytest.raises(WeightsError):
        parse_config_text(text)


def test_numbers_that_grow():
    text = "a = 9.5\nb = 3\nc = 'x'\n" + "a = a * a\nb = b * b\nc = c + c\n" * 1000
    assert all(isinstance(value, NotLiteral) for value in parse_config_text(text).values())
