import logging

import pytest
from detectron2.data.detection_utils import (
    annotations_to_instances,
    filter_empty_instances,
    transform_instance_annotations,
)

from seesaw_d2.data import read_annotations
from seesaw_d2.data.boxes_and_masks.areas import box_polygon
from tests.data.toy import HEIGHT, WIDTH, toy_data, write


@pytest.mark.parametrize(
    ("box", "trained"),
    [
        ([WIDTH - 1, 5, 15, 15], True),
        ([WIDTH, 5, 15, 15], False),
        ([-15, 5, 16, 15], True),
        ([-15, 5, 15, 15], False),
        ([5, HEIGHT + 9, 15, 15], False),
        ([5, -30, 15, 15], False),
    ],
)
def test_boxes_outside_the_image_are_not_trained_on(tmp_path, caplog, box, trained):
    """Test that only objects are kept, and thus counted, that Detectron2 does not drop after it clips their boxes."""
    data = toy_data()
    data["annotations"][0] |= {"bbox": box, "segmentation": box_polygon(box)}
    with caplog.at_level(logging.WARNING):
        file = read_annotations(write(tmp_path, data, f"{box}.json"))
    record = file.to_dataset_dicts("")[0]
    found = [item["bbox"] for item in record["annotations"]]
    assert (box in found) == trained
    assert ("1 objects whose box is outside the image: annotation ids 100" in caplog.text) != trained
    objects = [transform_instance_annotations(item, [], (HEIGHT, WIDTH)) for item in record["annotations"]]
    assert len(filter_empty_instances(annotations_to_instances(objects, (HEIGHT, WIDTH)))) == len(found)
    assert len(file.ground_truth) == len(data["annotations"])


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize(("count", "warned"), [(0, False), (1, False), (None, True)])
def test_fractions_of_the_image_size(tmp_path, caplog, count, warned, with_masks):
    """Test that a warning names the boxes, if most boxes contain only numbers up to 1."""
    data = toy_data()
    for annotation in data["annotations"][:count]:
        annotation["bbox"] = [0.25, 0.5, 0.125, 0.25]
    if not with_masks:
        for annotation in data["annotations"]:
            annotation.pop("segmentation", None)
    path = write(tmp_path, data, f"{count}{with_masks}.json")
    with caplog.at_level(logging.WARNING):
        read_annotations(path)
    assert ("100, 101" in caplog.text and "up to 1" in caplog.text and path in caplog.text) == warned
