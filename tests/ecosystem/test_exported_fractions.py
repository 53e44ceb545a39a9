import json

import pytest

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from tests.ecosystem.exports import change, command, small

FRACTIONS = [0.1, 0.1, 0.45, 0.45]
PIXELS = [2, 2, 9, 9]


def with_boxes(folder, boxes):
    export = small(folder)
    objects = json.loads(export.read_text())["annotations"]
    return change(export, annotations=[{**item, "bbox": box} for item, box in zip(objects, boxes, strict=True)])


@pytest.mark.parametrize("other", [FRACTIONS, [0.0, 0.0, 1.0001, 0.5], PIXELS])
def test_boxes_that_are_fractions_are_refused(tmp_path, capsys, other):
    export = with_boxes(tmp_path / "export", [other, FRACTIONS, FRACTIONS, FRACTIONS])
    status, _, err = command(capsys, export, "--output", tmp_path / "made")
    assert status == 2
    assert f'{export}: "bbox"' in err
    assert f"{3 + (other != PIXELS)} of 4 boxes" in err
    assert not (tmp_path / "made").exists()


def test_some_boxes_that_may_be_fractions_are_said(tmp_path):
    export = with_boxes(tmp_path / "export", [FRACTIONS, PIXELS, PIXELS, PIXELS])
    (note,) = [note for note in prepare_export(export, tmp_path / "made").notes if "fractions" in note]
    assert "1 of 4 boxes" in note
    assert "annotation ids 0)" in note


@pytest.mark.parametrize("box", [PIXELS, [0, 0, 0, 0]])
def test_boxes_in_pixels_are_not_fractions(tmp_path, box):
    export = with_boxes(tmp_path / "export", [box, PIXELS, box, PIXELS])
    assert not any("fractions" in note for note in prepare_export(export, tmp_path / "made").notes)
