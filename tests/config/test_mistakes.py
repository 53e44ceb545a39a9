"""Test that mistakes in configs raise errors that name the key."""

import pytest
from detectron2.config import CfgNode

from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config


def test_misspelt_key_suggests_the_nearest():
    with pytest.raises(
        ConfigError, match=r"MODEL\.ROI_HEADS\.NUM_CLASES. Did you mean MODEL\.ROI_HEADS\.NUM_CLASSES\?"
    ):
        load_config("", ["MODEL.ROI_HEADS.NUM_CLASES", "3"])


def test_misspelt_key_in_a_file(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("MODEL:\n  ROI_BOX_HEAD:\n    CLS_LOSS:\n      SEESAW:\n        PP: 1.0\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml.*CLS_LOSS\.SEESAW\.PP. Did you mean .*SEESAW\.P\?"):
        load_config(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: [1, 2", "YAML"),
        ("", "mapping"),
        ("MODEL: 3\n", "MODEL: expected a mapping"),
        ("_BASE_: broken.yaml\n", "broken.yaml: _BASE_: "),
        ("- 1\n- 2\n", "mapping"),
        ("MODEL:\n  X: !!python/object/apply:os.getcwd []\n", "YAML"),
        ("_BASE_: nowhere.yaml\n", "_BASE_"),
        ("VERSION: 1\n", "VERSION: expected 2"),
        ("SOLVER:\n  MAX_ITER: many\n", "SOLVER.MAX_ITER"),
    ],
)
def test_broken_files_are_named(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(str(path))
    assert "broken.yaml" in str(error.value)
    assert message in str(error.value)


def test_missing_file():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config("nowhere.yaml")


def test_whole_numbers_are_floats_where_floats_are_expected(tmp_path):
    """Test that integers are accepted for float keys, such as p = 0 in an ablation."""
    key = "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P"
    path = tmp_path / "zero.yaml"
    path.write_text("MODEL:\n  ROI_BOX_HEAD:\n    CLS_LOSS:\n      SEESAW:\n        P: 0\n")
    for cfg in (load_config("", [key, "0"]), load_config("", [key, 0]), load_config(str(path))):
        value = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P
        assert value == 0
        assert isinstance(value, float)
    with pytest.raises(ConfigError, match=r"SOLVER\.MAX_ITER"):
        load_config("", ["SOLVER.MAX_ITER", "1.5"])


def test_options_behind_overrides_get_a_hint():
    with pytest.raises(ConfigError, match=r"overrides: .*--eval-only"):
        load_config("", ["OUTPUT_DIR", "x", "--eval-only"])


def test_a_config_file_without_its_option_gets_a_hint():
    with pytest.raises(ConfigError, match=r"overrides: .*--config-file my\.yaml"):
        load_config("", ["my.yaml"])


def test_odd_overrides():
    with pytest.raises(ConfigError, match=r"overrides: .*SOLVER\.MAX_ITER"):
        load_config("", ["SOLVER.MAX_ITER"])


def test_a_plain_detectron2_config_is_kept():
    cfg = load_config("", [])
    assert isinstance(cfg, CfgNode)
    assert cfg.MODEL.ROI_HEADS.NAME == "Res5ROIHeads"


def test_a_value_of_another_type():
    with pytest.raises(ConfigError, match=r"SOLVER\.MAX_ITER: expected .* int, such as \d+, found forty "):
        load_config("", ["SOLVER.MAX_ITER", "forty"])
