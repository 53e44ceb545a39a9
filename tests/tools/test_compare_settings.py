"""Test that comparisons raise an error for results of an evaluation with other settings than the run."""

import re

import compare
import pytest

from seesaw_d2.errors import SeesawError


def test_results_of_an_evaluation_with_other_settings_are_refused(tmp_path):
    """Test the error in compare.py. run_results.py reads results with the same function."""
    folder = tmp_path / "inference/toy"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"bbox": {"AP": 1}}')
    record = folder / "evaluation_settings.json"
    for text, words in (
        ('{"MODEL.WEIGHTS": ["final.pth", "best.pth"]}', "MODEL.WEIGHTS final.pth .*best.pth"),
        ("5", ""),
    ):
        record.write_text(text)
        with pytest.raises(SeesawError, match=rf"{re.escape(str(record))}.*{words}"):
            compare.read_results(tmp_path)
    record.unlink()
    assert compare.read_results(tmp_path) == {"bbox": {"AP": 1}}


def test_results_of_an_earlier_iteration_do_not_finish_a_run(tmp_path):
    """Test a run that was killed in its last evaluation: it has final weights, but results of an earlier evaluation."""
    folder = tmp_path / "inference/toy"
    folder.mkdir(parents=True)
    assert not compare.is_finished(tmp_path)
    (folder / "results.json").write_text('{"bbox": {"AP": 1}}')
    assert not compare.is_finished(tmp_path)
    (tmp_path / "model_final.pth").touch()
    assert compare.is_finished(tmp_path)
    (folder / "evaluation_settings.json").write_text('{"SOLVER.MAX_ITER": ["6", "4"]}')
    assert not compare.is_finished(tmp_path)
    (folder / "evaluation_settings.json").write_text('{"MODEL.WEIGHTS": ["final.pth", "best.pth"]}')
    assert compare.is_finished(tmp_path)  # so that read_results refuses the results


def test_a_row_that_started_from_other_weights_is_refused(tmp_path, monkeypatch):
    """Test the error if the row in "after" was trained again, so that its weights differ from the initial weights."""
    monkeypatch.setattr(compare, "is_finished", lambda folder: True)
    monkeypatch.setattr(compare, "read_results", lambda folder: {})
    row = {"name": "B", "config": "c.yaml", "overrides": [], "after": "A"}
    first, second = (compare.folder_of(name, 1, tmp_path) for name in "AB")
    for folder in (first, second):
        folder.mkdir(parents=True)
    weights = first / "model_final.pth"
    weights.write_bytes(b"1")
    assert compare.train(row, 1, tmp_path) == {}
    (second / "model_final.pth").touch()
    assert compare.train(row, 1, tmp_path) == {}
    weights.write_bytes(b"2")
    with pytest.raises(SeesawError, match=rf"{re.escape(str(second))}.*{re.escape(str(weights))}.*'A'.*'B'"):
        compare.train(row, 1, tmp_path)
    (second / "row_source.txt").unlink()  # an earlier version trained the row
    assert compare.train(row, 1, tmp_path) == {}
    assert not (second / "row_source.txt").exists()


def test_an_interrupted_evaluation_of_converted_weights_goes_on(tmp_path, monkeypatch):
    """Test that the second call does not convert again, because the programs do not replace the converted weights."""
    row = {"name": "B", "config": "c.yaml", "overrides": [], "after": "A", "convert": "x.py {weights} {output}"}
    first, folder = (compare.folder_of(name, 1, tmp_path) for name in "AB")
    for path in (first, folder):
        path.mkdir(parents=True)
    (first / "model_final.pth").touch()
    programs, statuses = [], [0, 130, 0]

    def call(command, **_):
        programs.append(command[1])
        if programs[-1] == "tools/x.py":
            (folder / "model_final.pth").touch()
        elif len(programs) == 3:
            (folder / "inference/toy").mkdir(parents=True)
            (folder / "inference/toy/results.json").write_text('{"bbox": {"AP": 1}}')
        return statuses[len(programs) - 1]

    monkeypatch.setattr(compare.subprocess, "call", call)
    with pytest.raises(SeesawError, match="130"):
        compare.train(row, 1, tmp_path)
    assert compare.train(row, 1, tmp_path) == {"bbox": {"AP": 1}}
    assert programs == ["tools/x.py", "train_net.py", "train_net.py"]
