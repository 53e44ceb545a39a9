"""Test tools/run_results.py pooled: accuracies over the test images of several runs."""

import json

import run_results


def test_folds_are_pooled(tmp_path, capsys):
    counts = (
        {"row": "A", "few_limit": 5, "a": [5, 4, 3, 6], "b": [30, 10, 9, 8]},
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
