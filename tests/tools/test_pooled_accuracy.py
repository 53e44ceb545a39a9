"""Test tools/run_results.py pooled: accuracies over the test images of several runs."""

import json

import pytest
import run_results


def test_folds_are_pooled(tmp_path, capsys):
    counts = (
        {"row": "A", "few_limit": 5, "a": [5, 4, 3, 6], "b": [30, 10, 9, 10]},
        {"row": "A, fold 1", "few_limit": 7, "a": [8, 2, 1, 2], "b": [0, 3, 0, 1]},
    )
    runs = [
        {
            "row": count.pop("row"),
            "few_limit": count.pop("few_limit"),
            "seed": 1,
            "command": "",
            "commit": "",
            "machine": "",
            "metrics": {},
            "classes": count,
        }
        for count in counts
    ]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    command = ["pooled", str(tmp_path / "runs.json"), "--rows", "A", "A, fold 1"]
    assert run_results.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "68.4 % of 19" in lines[0]  # (3 + 9 + 1) / (4 + 10 + 2 + 3)
    assert "42.9 % of 7" in lines[1]  # 3 / (4 + 3), including the class without training images
    assert "42.9 % of 7" in lines[2]  # 3 / (6 + 1)
    assert run_results.main([*command, "--seed", "2"]) == 2
    assert "'A'" in capsys.readouterr().err
    del runs[1]["few_limit"]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    assert run_results.main(command) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("runs.json", "'A, fold 1'", "few_limit"))


def write(path, **classes):
    run = {"seed": 1, "command": "", "metrics": {}, "few_limit": 5}
    path.write_text(json.dumps([{**run, "row": row, "classes": counts} for row, counts in classes.items()]))


def test_rows_with_the_same_test_images_are_noted(tmp_path, capsys):
    """Test rows of the same fold, whose test images would count twice."""
    path = tmp_path / "runs.json"
    few, many = [5, 4, 3, 6], [9, 9, 1, 1]
    write(path, A={"a": few, "b": many}, B={"a": [5, 4, 1, 2], "b": many}, C={"a": few})
    assert run_results.main(["pooled", str(path), "--rows", "A", "B"]) == 0
    error = capsys.readouterr().err
    assert "'A'" in error
    assert "'B'" in error
    assert run_results.main(["pooled", str(path), "--rows", "A", "C"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "classes", [[], None, {"b": [1, 2]}, {"b": 5}, {"b": [1, 2, "0", 3]}, {"b": [1, 2, -1, 3]}, {"b": [1, 2, 3, 4]}]
)
def test_wrong_counts_are_named(tmp_path, capsys, classes):
    write(tmp_path / "runs.json", A=classes)
    assert run_results.main(["pooled", str(tmp_path / "runs.json"), "--rows", "A"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("runs.json", "'A'", "classes", "'b'" if classes else "classes"))
