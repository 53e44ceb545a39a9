"""The comparison tool: every row is a config with valid overrides, and the table is of what the runs left."""

import json
from pathlib import Path

import compare
import pytest
import yaml

from seesaw_d2.engine import load_config
from seesaw_d2.engine.checks import check_names

ROOT = Path(compare.__file__).parents[1]
FILES = sorted((ROOT / "tools").glob("*_comparisons.yaml"))
COMPARISONS = [(path, name) for path in FILES for name in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_rows_are_valid_and_distinct(comparison):
    rows = compare.read_rows(FILE, comparison)
    resolved = set()
    for row in rows:
        cfg = load_config(str(ROOT / row["config"]), row["overrides"])
        check_names(cfg)
        cfg.OUTPUT_DIR = ""
        resolved.add(cfg.dump())
    assert len(resolved) == len(rows) == len({row["name"] for row in rows})


def test_unknown_comparison_is_named():
    with pytest.raises(SystemExit, match=r"expected one of main, .* found 'mian'"):
        compare.read_rows(FILE, "mian")


def test_finished_runs_are_tabulated_without_training(tmp_path, monkeypatch, capsys):
    for seed, value in ((1, 10.0), (2, 20.0)):
        for name in ("cross_entropy", "cross_entropy_objectness_normalized_classifier", "Seesaw_Loss"):
            folder = tmp_path / name / f"seed{seed}"
            (folder / "inference/glyphs_val").mkdir(parents=True)
            (folder / "model_final.pth").write_bytes(b"")
            metrics = dict.fromkeys(("AP", "APr", "APc", "APf"), value)
            (folder / "inference/glyphs_val/results.json").write_text(json.dumps({"bbox": metrics, "segm": metrics}))
    arguments = ["compare.py", str(FILE), "main", "--seeds", "1", "2", "--output", str(tmp_path)]
    monkeypatch.setattr(compare.sys, "argv", arguments)
    assert compare.main() == 0
    assert "| Seesaw Loss | 15.0 ± 7.1 |" in capsys.readouterr().out
    assert (tmp_path / "main.md").is_file()
