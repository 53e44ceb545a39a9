import json

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from tests.ecosystem.exports import change, small


def test_rotated_boxes_without_masks_are_said(tmp_path):
    """Test CVAT's export of a rotated rectangle, whose box is the box before the rotation."""
    export = small(tmp_path / "export")
    angles = ({"rotation": 37.5}, {"rotation": 0.0}, {"rotation": 180}, {"occluded": False, "rotation": -90})
    objects = [
        {**item, "attributes": angle}
        for item, angle in zip(json.loads(export.read_text())["annotations"], angles, strict=True)
    ]
    change(export, annotations=objects)
    (note,) = [note for note in prepare_export(export, tmp_path / "made").notes if "rotation" in note]
    assert f"{export}: 2 of 4 boxes" in note
    assert "annotation ids 0, 3)" in note
    change(export, annotations=[{**item, "segmentation": [[2, 2, 11, 2, 11, 11, 2, 11]]} for item in objects])
    assert not any("rotation" in note for note in prepare_export(export, tmp_path / "other").notes)
