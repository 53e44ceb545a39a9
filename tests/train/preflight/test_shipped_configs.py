"""Test that configs of this project and of Detectron2's model zoo pass the check of keys."""

import pytest
import yaml
from comparison_rows import read_rows

from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.job_checks import check_names
from seesaw_d2.train.preflight.keys import check_written, written_layers
from tests.train.preflight.test_written_keys import HEADS, ROOT, ZOO, check, write


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("**/*.yaml")), ids=lambda path: path.stem)
def test_every_yaml(path):
    check(path)


def test_mixed_precision_can_be_switched_off(tmp_path):
    """Test both ways that configs/muscima/Base-tiles.yaml recommends for CPUs without instructions for bfloat16."""
    paths = [path for path in sorted((ROOT / "configs").glob("**/*.yaml")) if "AMP:" in path.read_text()]
    assert "Base-tiles.yaml" in [path.name for path in paths]
    for path in paths:
        check(path, "SOLVER.AMP.ENABLED", "False")
        check(write(tmp_path, "mine.yaml", base=path, SOLVER__AMP__ENABLED=False))


ROWS = [
    pytest.param(row["config"], row["overrides"], id=f"{path.stem}, {part}: {row['name']}")
    for path in sorted((ROOT / "tools").glob("*.yaml"))
    for part in yaml.safe_load(path.read_text())
    for row in read_rows(path, part)
]


@pytest.mark.parametrize(("path", "overrides"), ROWS)
def test_every_comparison(path, overrides):
    check(ROOT / path, *overrides)


def zoo():
    """Return Detectron2's configs, by the heads of this project that they need. Omit configs with Python objects."""
    for path in sorted(ZOO.glob("**/*.yaml")):
        try:
            cfg = load_config(str(path))
        except ConfigError:
            continue
        if cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN":
            yield str(path), cfg.MODEL.ROI_HEADS.NAME.replace("Standard", "").join(("Seesaw", ""))


def test_detectron2s_configs():
    """Test that each config passes unchanged, and with the key that selects Seesaw Loss."""
    found = list(zoo())
    assert len(found) > 40
    for path, heads in found:
        check(path)
        cfg = load_config(path, (HEADS, heads))
        check_written(cfg, written_layers(path, (HEADS, heads)))
        check_names(cfg)
