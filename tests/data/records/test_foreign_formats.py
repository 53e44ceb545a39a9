"""Test that files of other annotation tools raise errors with the name of their format."""

import json

import pytest

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.data.records.annotation_files import read_annotations
from seesaw_d2.errors import DataError


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"a.jpg12": {"filename": "a.jpg", "size": 12, "regions": []}}, "VIA"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, "VIA"),
        ({"version": "5.0", "shapes": [], "imagePath": "a.jpg", "imageData": None}, "LabelMe"),
        ([{"version": "5.0", "shapes": [], "imagePath": "a.jpg"}], "LabelMe"),
        ([{"id": 1, "annotations": [], "data": {"image": "a.jpg"}}], "Label Studio"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "COCO results"),
    ],
)
def test_other_formats_are_named(tmp_path, content, name):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    for read in (lambda: prepare_export(path, tmp_path / "made"), lambda: read_annotations(str(path))):
        with pytest.raises(DataError) as error:
            read()
        assert all(part in str(error.value) for part in (str(path), name))
