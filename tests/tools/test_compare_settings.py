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
