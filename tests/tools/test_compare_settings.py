"""Test that comparisons raise an error for results of an evaluation with other settings than the run."""

import re

import compare
import pytest

from seesaw_d2.errors import SeesawError


def test_results_of_an_evaluation_with_other_settings_are_refused(tmp_path):
    """run_results.py reads them with the same function."""
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
    """A run that was killed in its last evaluation has its final weights and the results of an earlier evaluation."""
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
