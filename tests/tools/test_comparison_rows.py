"""Test rows that start from other rows, rows whose config changes, and tables with different metrics."""

import json

import compare
import comparison_changes
import pytest
import run_results
import yaml

from seesaw_d2.train import load_config

CHAIN = """
main:
  - {name: A, config: c.yaml}
  - {name: X, config: c.yaml}
  - {name: B, config: c.yaml, after: A}
  - {name: Y, config: c.yaml, after: X}
  - {name: C, config: c.yaml, after: B}
"""


def test_a_row_brings_all_rows_from_which_it_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare, "train", lambda row, seed, output: {"bbox": {"AP": 1.0}})
    (file := tmp_path / "rows.yaml").write_text(CHAIN)
    command = [str(file), "main", "--seeds", "1", "--output", str(tmp_path / "out"), "--rows"]
    assert compare.main([*command, "C"]) == 0
    assert [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:]] == ["A", "B", "C"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["A", "B", "C", "main.md"]
    rows = compare.read_rows(file, "main")
    assert [row["name"] for row in compare.choose(rows, ["Y", "B"])] == ["A", "X", "B", "Y"]


def test_tables_have_the_columns_of_all_rows(tmp_path, capsys):
    boxes = {"bbox": {"AP": 10.0}}
    both = {**boxes, "segm": {"AP": 20.0}}
    header, _, first, second = compare.table({"a": [boxes], "b": [both]}).splitlines()
    assert header.count("mask AP ") == header.count("box AP ") == 1
    assert [text.count("20.0") for text in (first, second)] == [0, 1]
    runs = [{"row": row, "seed": 1, "command": "", "metrics": found} for row, found in (("a", boxes), ("b", both))]
    (tmp_path / "r.json").write_text(json.dumps(runs))
    for rows in ([], ["--rows", "a", "b"], ["--rows", "a", "--against", "b"]):
        assert run_results.main(["table", str(tmp_path / "r.json"), *rows]) == 0
        assert "mask AP |" in capsys.readouterr().out


@pytest.mark.parametrize("version", ["this", "earlier"])
@pytest.mark.parametrize(
    ("solver", "change"), [({"MAX_ITER": 9}, {"MAX_ITER": 10}), ({"EPOCHS": 2, "MAX_ITER": 7}, {"EPOCHS": 3})]
)
def test_a_row_whose_config_changed_is_not_finished(tmp_path, monkeypatch, capsys, version, solver, change):
    monkeypatch.setattr(compare, "train", lambda row, seed, output: {"bbox": {"AP": 1.0}})

    def write(values):
        (tmp_path / "base.yaml").write_text(yaml.safe_dump({"SOLVER": values, "OUTPUT_DIR": f"out_{len(str(values))}"}))

    (config := tmp_path / "c.yaml").write_text("_BASE_: base.yaml\n")
    write(solver)
    (file := tmp_path / "rows.yaml").write_text(f"main: [{{name: A, config: {config}}}]")
    command = [str(file), "main", "--seeds", "1", "--output", str(tmp_path / "out")]
    assert compare.main(command) == 0
    folder = tmp_path / "out/A/seed1"
    if version == "earlier":  # earlier versions wrote no copy of the config. A training replaces these values
        saved = load_config(str(config), ["SOLVER.STEPS", "(3,)", "SEED", "1", "MODEL.DEVICE", "cpu"])
        if saved.SOLVER.EPOCHS:
            saved.SOLVER.MAX_ITER, saved.SOLVER.BASE_LR = 4321, 0.5
        (folder / "config.yaml").write_text(saved.dump())
    else:  # as in an earlier release with fewer keys
        saved = yaml.safe_load((folder / "row_config.yaml").read_text())
        del saved["SOLVER"]["MOMENTUM"]
        (folder / "row_config.yaml").write_text(yaml.safe_dump(saved))
    for values, expected in ((solver, 0), ({**solver, **change}, 2), (solver, 0)):
        if version == "earlier":
            (folder / "row_config.yaml").unlink(missing_ok=True)
        write(values)
        comparison_changes._config_of.cache_clear()
        before = sorted((path.name, path.read_text()) for path in folder.iterdir())
        assert compare.main(command) == expected
        if expected:
            error = capsys.readouterr().err
            assert all(word in error for word in (str(folder), "'A'", *(f"SOLVER.{key}" for key in change)))
            assert sorted((path.name, path.read_text()) for path in folder.iterdir()) == before
