"""Test that YAML files give plain values, or an error in one line that names the file."""

import os

import pytest

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.report.page import run_config
from seesaw_d2.utils.yaml_reading import read_yaml_file

UNFIT = [
    *("!!timestamp x", "!!timestamp 2024-99-99", "!!int x", "!!float x", "!!bool maybe", "!!null {a: 1}", "!!set [1]"),
    *("!!omap 1", "!!pairs [1]", "!!binary é", "!!python/object:os.system {}", "!!int ''", "!!timestamp [1]", "&a [*a"),
    *(
        "1" * 4000,
        "-" + "9" * 30,
        '"\\ud800"',
        '{"\\ud800": 1}',
        "{[1]: 2}",
        "{? {} : 1}",
        "0x" + "f" * 40,
        "2024-13-45",
    ),
    "[" * 5000,
]


@pytest.mark.parametrize("text", UNFIT, ids=range(len(UNFIT)))
def test_a_value_that_does_not_fit_its_tag(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(f"SOLVER:\n  BASE_LR: {text}\n")
    for read in (read_yaml_file, load_config):
        with pytest.raises(ConfigError, match=r"c\.yaml") as error:
            read(str(path))
        assert len(str(error.value)) < 2000


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "b: {x: &x {q: 1}}\na: [{<<: *x, a: 1,\n\n a: 2}]\n"])
def test_a_key_twice(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml, line [34]: a: expected each key once .*twice"):
        read_yaml_file(str(path))


def test_a_merged_key_can_be_replaced(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("a: {b: &b {x: 1, <<: {x: 0}}}\nc: {<<: *b, x: 2}\n1: 2\n'1': 3\n")
    assert read_yaml_file(str(path))[1] == {"a": {"b": {"x": 1}}, "c": {"x": 2}, 1: 2, "1": 3}


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.write_bytes(b"\xff\xfe"), lambda path: None])
def test_no_file_of_text(tmp_path, make):
    path = tmp_path / "c.yaml"
    make(path)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        read_yaml_file(str(path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("SOLVER.BASE_LR", digits) for digits in ("1" * 4000, "-" + "1" * 5000, "1e999", "\udc80")),
        ("OUTPUT_DIR", "a\ud800"),
        ("SOLVER.MAX_ITER", "9" * 4000),
        ("DATASETS.TRAIN", "('\\ud800',)"),
        ("DATASETS.REGISTER", "[{'NAME': 'a', 'JSON': 'b', 'NAME': 'c'}]"),
    ],
)
def test_overrides(key, value):
    with pytest.raises(SeesawError) as error:
        load_config("", [key, value])
    assert len(str(error.value)) < 500


DATASETS = ["null", "5", "2024-01-01", "[a]", "{TEST: null}", "{TEST: a}", "{TEST: [1]}", "{REGISTER: {a: 1}}"]
DATASETS += [
    "{REGISTER: [2024-01-01]}",
    "{FREQUENCY_THRESHOLDS: [x]}",
    "{TRAIN: !!timestamp x}",
    "{TEST: [2024-01-01]}",
]


@pytest.mark.parametrize("datasets", DATASETS)
def test_the_config_of_a_run(tmp_path, datasets):
    """Test that a report reads the config of any run with lists of names, or raises an error that names the config."""
    (tmp_path / "config.yaml").write_text(f"DATASETS: {datasets}\nTEST: null\nSEED: 2024-01-01\nMODEL: null\n")
    try:
        cfg = run_config(str(tmp_path))
    except SeesawError as error:
        assert str(tmp_path / "config.yaml") in str(error)  # noqa: PT017
    else:
        assert datasets in ("null", "{TEST: [2024-01-01]}")
        assert all(isinstance(name, str) for name in cfg.DATASETS.TEST)
