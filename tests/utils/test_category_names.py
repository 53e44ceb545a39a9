"""Test the comparison of two lists of class names."""

import unicodedata

import pytest

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.category_names import Categories, check_checkpoint, check_order, entry_of


def pair(first, second):
    return Categories(tuple(first), "first.json"), Categories(tuple(second), "second.json")


SAME = [
    ("abc", "abc"),
    (["Ant", "bee"], ["ant", " bee"]),
    (["b\u00e4r", "cat"], [unicodedata.normalize("NFD", "b\u00e4r"), "cat"]),
    ("aA", "aA"),
    ("abc", "ab"),  # lists with different numbers of classes are not compared
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_nothing_to_say(first, second):
    for names in (pair(first, second), pair(second, first)):
        assert check_order(*names) == ""


@pytest.mark.parametrize(
    ("first", "second", "index", "names"),
    [
        ("abc", "acb", 1, ("'b'", "'c'")),
        ("abc", "bca", 0, ("'a'", "'b'")),
        ("aab", "aba", 1, ("'a'", "'b'")),
        (["Ant", "bee", "cat"], ["bee", "ant", "cat"], 0, ("'Ant'", "'bee'")),
        (["b\u00e4r", "cat"], ["cat", unicodedata.normalize("NFD", "b\u00e4r")], 0, ("'b\u00e4r'", "'cat'")),
        ("aA", "Aa", 0, ("'a'", "'A'")),  # single letters, which differ only in case
    ],
)
@pytest.mark.parametrize("other_data", [False, True])
def test_another_order(first, second, index, names, other_data):
    with pytest.raises(ConfigError) as error:
        check_order(*pair(first, second), other_data=other_data)
    for word in (f"index {index} ", *names, "first.json", "second.json"):
        assert word in str(error.value)


@pytest.mark.parametrize(("first", "second", "index"), [("abcd", "bade", 0), ("abcx", "zbac", 0), ("xabc", "yacb", 2)])
def test_moved_beside_other_names(first, second, index):
    """Test that names may move only in fine-tuning on other data. The message has the index of a moved name."""
    with pytest.raises(ConfigError, match=f"index {index} "):
        check_order(*pair(first, second))
    assert f"index {index} " in check_order(*pair(first, second), other_data=True)


@pytest.mark.parametrize(("first", "second"), [("abc", "abd"), ("abc", "xyz"), ("aab", "acb")])
def test_other_names_are_a_warning(first, second):
    assert "first.json" in check_order(*pair(first, second))


def test_of_a_checkpoint():
    found, expected = pair("abc", "ab")
    with pytest.raises(WeightsError, match=r"first\.json: .*2 .*second\.json.*3"):
        check_checkpoint(found, expected)
    assert check_checkpoint(found, expected, must_fit=False) == ""
    assert check_checkpoint(None, expected) == check_checkpoint(found, None) == ""
    with pytest.raises(WeightsError, match=r"MODEL\.WEIGHTS_EXCEPT"):
        check_checkpoint(*pair("abc", "bac"), must_fit=False)


@pytest.mark.parametrize("names", [None, "abc", [], [1, 2], {"a": 0}, [{"id": 1, "name": "a"}], ["a", None]])
def test_entries_of_other_programs(names, caplog):
    """Test that invalid entries of other programs are logged and not compared."""
    assert entry_of({"categories": names}, "model.pth") is None
    assert ("model.pth" in caplog.text) is (names is not None)


def test_an_entry():
    assert entry_of({"categories": ["a", "b"]}, "model.pth") == Categories(("a", "b"), "model.pth")
    assert entry_of({}, "model.pth") is None
