"""Test the commands that tools/run_results.py stores with the results of each run."""

import json

import pytest
import run_results

from tests.tools.test_run_results import collect, write_run

CE = "CE/seed1/model_final.pth"
CONVERT = "tau_normalize.py {weights} {output} --tau 0.5 --config-file {config}"


def write_row(folder, seed=1, **extra):
    run = write_run(folder, "next, q 0", seed, 70.0)
    row = json.loads((run / "row.json").read_text())
    (run / "row.json").write_text(json.dumps({**row, "after": "CE", **extra}))
    return run


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, f"python train_net.py --config-file c.yaml MODEL.WEIGHTS {CE} SEED 1 A.B 1"),
        (
            {"convert": CONVERT, "overrides": ["A.B", ""]},
            f"python tools/tau_normalize.py {CE} next_q_0/seed1/model_final.pth --tau 0.5 --config-file c.yaml && "
            "python train_net.py --config-file c.yaml --eval-only MODEL.WEIGHTS next_q_0/seed1/model_final.pth SEED 1 "
            "A.B ''",
        ),
    ],
)
def test_rows_that_start_from_another_row(tmp_path, extra, expected):
    write_row(tmp_path, **extra)
    (run,) = collect(tmp_path, "abc")
    assert run["command"] == expected


def test_an_unchanged_run_keeps_its_commit(tmp_path):
    """Earlier versions stored the command of the row without the row from which it starts."""
    write_row(tmp_path)
    (run,) = collect(tmp_path, "abc")
    old = {**run, "command": "python train_net.py --config-file c.yaml SEED 1 A.B 1"}
    (tmp_path / "r.json").write_text(json.dumps([old]))
    assert collect(tmp_path, "def") == [run]


def test_conversions_that_differ_between_seeds_are_told(tmp_path, capsys):
    for tau, told in (("0.5", 0), ("0.7", 1)):
        write_row(tmp_path, convert=CONVERT)
        write_row(tmp_path, seed=2, convert=CONVERT.replace("0.5", tau))
        collect(tmp_path, "abc")
        assert run_results.main(["table", str(tmp_path / "r.json")]) == 0
        assert capsys.readouterr().err.count("note: row 'next, q 0'") == told


@pytest.mark.parametrize("extra", [{"after": 3}, {"convert": []}, {"convert": " "}])
def test_invalid_rows_are_named(tmp_path, capsys, extra):
    run = write_row(tmp_path, **extra)
    assert run_results.main(["collect", str(tmp_path), str(tmp_path / "r.json"), "--commit", "abc"]) == 2
    assert str(run / "row.json") in capsys.readouterr().err
