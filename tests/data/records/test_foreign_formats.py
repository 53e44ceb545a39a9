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
        ({"classes": ["cat"], "labels": {"a": 0}}, "FiftyOne"),
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


def test_panoptic_annotations_are_named(tmp_path):
    path = tmp_path / "panoptic.json"
    image = {"id": 1, "file_name": "a.png", "height": 5, "width": 5}
    segments = [{"id": 9, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0}]
    content = {"images": [image], "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}]}
    path.write_text(json.dumps({**content, "categories": [{"id": 1, "name": "cat"}]}))
    with pytest.raises(DataError, match=rf'{path}.*"id" in "annotations".*COCO panoptic'):
        read_annotations(str(path))
