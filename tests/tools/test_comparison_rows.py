"""Test rows that start from other rows, rows whose config changes, and tables with different metrics."""

import json

import compare
import comparison_changes
import comparison_rows
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
    rows = comparison_rows.read_rows(file, "main")
    assert [row["name"] for row in comparison_rows.choose(rows, ["Y", "B"])] == ["A", "X", "B", "Y"]


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


@pytest.mark.parametrize(("words", "overrides"), [("", []), (" {overrides}", ["SEED", "1"])])
def test_a_conversion_gets_the_overrides_of_its_row_if_it_names_them(words, overrides):
    row = {
        "name": "A",
        "config": "c.yaml",
        "overrides": ["SEED", "1"],
        "convert": f"a.py {{weights}} {{output}}{words}",
    }
    assert comparison_rows.conversion(row, "a.pth", "b.pth") == ["tools/a.py", "a.pth", "b.pth", *overrides]


ROWS = """
main:
  - {name: A, config: base.yaml}
  - {name: R50.FPN, config: base.yaml, overrides: {SOLVER.BASE_LR: 0.5}}
  - name: C
    config: base.yaml
    after: A
    convert: "nearest_class_mean.py {weights} {output} --config-file {config} {overrides}"
  - {name: D, config: base.yaml, after: A}
"""
NO_AMP = ["SOLVER.AMP.ENABLED", "False"]


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """Return a function that calls the program with the file ROWS, and a dict from row name to its overrides."""
    (tmp_path / "base.yaml").write_text("SOLVER: {AMP: {ENABLED: True}, MAX_ITER: 9}\n")
    (file := tmp_path / "rows.yaml").write_text(ROWS.replace("base.yaml", str(tmp_path / "base.yaml")))
    found = {}

    def train(row, seed, output):
        found[row["name"], seed] = row["overrides"]
        return {"bbox": {"AP": 1.0}}

    monkeypatch.setattr(compare, "train", train)

    def call(*arguments):
        found.clear()
        return compare.main([str(file), "main", "--output", str(tmp_path / "out"), *arguments])

    return call, found


@pytest.mark.parametrize("order", [["--seeds", "2", "--rows"], ["--jobs", "1", "--rows", "--seeds", "2"]])
def test_overrides_of_the_command_line_apply_to_all_rows(compared, tmp_path, capsys, order):
    """Test overrides after --rows and after --seeds, which take any number of words, and a row named like a key."""
    call, found = compared
    place = order.index("--rows") + 1
    words = [*order[:place], "A", "R50.FPN", *order[place:], *NO_AMP]
    assert call(*words) == 0
    assert found == {("A", 2): NO_AMP, ("R50.FPN", 2): ["SOLVER.BASE_LR", "0.5", *NO_AMP]}
    assert json.loads((tmp_path / "out/A/seed2/row.json").read_text())["overrides"] == NO_AMP
    assert "ENABLED: false" in (tmp_path / "out/A/seed2/row_config.yaml").read_text()
    assert call(*words) == 0
    capsys.readouterr()
    for changed in (words[:-2], [*words[:-1], "True"]):  # a table must not mix both
        assert call(*changed) == 2
        error = capsys.readouterr().err
        assert all(word in error for word in ("A/seed2/row.json", *NO_AMP))


def test_overrides_between_options(compared, capsys):
    call, _ = compared
    assert call(*NO_AMP, "--seeds", "1", "--rows", "C", "--commands") == 0
    train, convert, evaluate = (line.split() for line in capsys.readouterr().out.splitlines())
    assert train[-2:] == convert[-2:] == evaluate[-2:] == NO_AMP


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["SOLVER.AMP.ENABLED"], ["SOLVER.AMP.ENABLED"]),
        ([*NO_AMP, "--rows", "A", "SOLVER.AMP.ENABLED", "True"], ["SOLVER.AMP.ENABLED", "True", "False"]),
        (["SOLVER.BASE_LR", "0.25"], ["SOLVER.BASE_LR", "0.25", "0.5", "R50.FPN"]),
        (["--rows", "A", "R50.FPN", "SOLVER.BASE_LR", "0.5"], ["'A'", "'R50.FPN'"]),
        (["MODEL.WEIGHTS", "x.pth"], ["MODEL.WEIGHTS", "x.pth", "after", "'C'"]),
        (["SEED", "1"], ["SEED"]),
        (["--seeds", "1", "OUTPUT_DIR", "x"], ["--seeds", "OUTPUT_DIR"]),
        (["SOLVER.AMP.ENABLE", "True"], ["SOLVER.AMP.ENABLE", "SOLVER.AMP.ENABLED"]),
        (["--rows", "b"], ["--rows", "'b'"]),
        (["--rows", *NO_AMP], ["--rows"]),
        (["--seeds", *NO_AMP], ["--seeds"]),
        (["--seeds", "1", "01"], ["--seeds", "01"]),
        (["--seeds", "1", "1"], ["--seeds", "1 1"]),
        (["--seeds", "x"], ["--seeds", "x"]),
        (["--jobs", "0"], ["--jobs", "0"]),
    ],
)
def test_wrong_arguments_are_named(compared, tmp_path, capsys, arguments, words):
    call, found = compared
    try:
        status = call(*arguments)
    except SystemExit as error:
        status = error.code
    assert status == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not found
    assert not (tmp_path / "out").exists()


def test_a_row_that_starts_from_others_has_no_weights_of_its_own(tmp_path, capsys):
    """Test MODEL.WEIGHTS beside "after". The overrides come later on the command line, so they would replace it."""
    path = tmp_path / "rows.yaml"
    path.write_text(CHAIN.replace("after: A}", "after: A, overrides: {MODEL.WEIGHTS: x.pth}}"))
    assert compare.main([str(path), "main", "--commands"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in (str(path), "MODEL.WEIGHTS", "x.pth", "'B'"))
