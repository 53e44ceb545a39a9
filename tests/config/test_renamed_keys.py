"""Test that a renamed config key keeps working for one minor version, with a warning."""

import pytest

from seesaw_d2.config import renamed_keys
from seesaw_d2.config.loading import config_keys, load_config
from seesaw_d2.errors import ConfigError

OLD, NEW = "SOLVER.OLD.FACTOR", "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P"


@pytest.fixture(autouse=True)
def renamed(monkeypatch):
    monkeypatch.setitem(renamed_keys.RENAMED_KEYS, OLD, NEW)


def test_in_a_file_its_base_and_on_the_command_line(tmp_path):
    base, config = tmp_path / "base.yaml", tmp_path / "config.yaml"
    base.write_text("SOLVER: {OLD: {FACTOR: 0.5}, MAX_ITER: 7}")
    config.write_text("_BASE_: base.yaml")
    for arguments in ([str(base)], [str(config)], ["", [OLD, "0.5"]]):
        with pytest.warns(FutureWarning, match=rf"{OLD}.*{NEW}"):
            cfg = load_config(*arguments)
        assert cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P == 0.5
        assert not [key for key in config_keys(cfg) if "OLD" in key.split(".")]


def test_both_names_in_one_file_are_refused(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("SOLVER: {OLD: {FACTOR: 0.5}}\nMODEL: {ROI_BOX_HEAD: {CLS_LOSS: {SEESAW: {P: 0.6}}}}")
    with pytest.warns(FutureWarning), pytest.raises(ConfigError, match=rf"config.yaml.*{NEW}"):
        load_config(str(config))


def test_shipped_names_are_known_keys(monkeypatch):
    monkeypatch.undo()
    known = set(config_keys(load_config()))
    assert set(renamed_keys.RENAMED_KEYS.values()) <= known
    assert not set(renamed_keys.RENAMED_KEYS) & known
