"""Rows that start from each other, and tables of rows with different results."""

import json

import compare
import run_results

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
