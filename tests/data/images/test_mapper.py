"""Test that errors of mappers name the image, and that mappers do not truncate integer coordinates."""

import sys

import numpy as np
import pytest
from detectron2.data import DatasetMapper
from detectron2.structures import BoxMode
from PIL import EpsImagePlugin, Image

from seesaw_d2.data import read_annotations
from seesaw_d2.data.classification.mapper import ClassificationMapper
from seesaw_d2.data.images.mapper import BlankingMapper, CheckedMapper, ReplacingMapper, UnreadableImageError
from seesaw_d2.data.images.resizing import build_mapper
from seesaw_d2.errors import DataError
from tests.data.toy import make_cfg, toy_data, write, write_images


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes of exceptions need Python 3.11")
def test_an_image_that_resizing_leaves_without_height(tmp_path):
    path = str(tmp_path / "thin.png")
    Image.new("RGB", (3000, 1)).save(path)
    mapper = CheckedMapper(DatasetMapper(make_cfg(), is_train=False))
    with pytest.raises(ValueError, match="must be > 0") as caught:
        mapper({"file_name": path, "width": 3000, "height": 1, "image_id": 1})
    assert path in str(caught.value.__notes__)


@pytest.mark.parametrize("kind", [CheckedMapper, BlankingMapper])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_rotated_tiff_file_that_no_header_check_opened(tmp_path, kind, orientation):
    path, exif = str(tmp_path / "turned.tif"), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 40)).save(path, exif=exif)
    mapper = kind(DatasetMapper(make_cfg(), is_train=False))
    record = {"file_name": path, "width": 40, "height": 40, "image_id": 1}
    if orientation == 1:
        assert mapper(record)["image"].shape[0] == 3
        return
    with pytest.raises(DataError, match=rf"{path}: .*orientation {orientation}"):
        mapper(record)


def test_the_first_image_of_sixteen_bits_is_reported(tmp_path, caplog):
    mapper = CheckedMapper(DatasetMapper(make_cfg(), is_train=False))
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((30, 40), 40000, np.uint16)).save(tmp_path / name)
        mapper({"file_name": str(tmp_path / name), "width": 40, "height": 30, "image_id": 1})
    (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert f"{tmp_path}/a.png: " in warning


@pytest.mark.parametrize("mapper", [DatasetMapper, ClassificationMapper])
def test_no_external_program_decodes_an_image(tmp_path, monkeypatch, mapper):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("Ghostscript was started"))
    path = str(tmp_path / "a.jpg")
    Image.new("RGB", (40, 30)).save(path, format="EPS")
    checked = CheckedMapper(mapper(make_cfg(), is_train=False))
    with pytest.raises(UnreadableImageError, match=rf"{path}: .*PostScript"):
        checked({"file_name": path, "width": 40, "height": 30, "image_id": 1, "annotations": [{"category_id": 0}]})


def test_integer_coordinates_are_scaled_like_floats(tmp_path):
    data = toy_data(1)
    images = write_images(tmp_path, data)
    cfg = make_cfg(INPUT__MIN_SIZE_TRAIN=(53,), INPUT__RANDOM_FLIP="none")
    mapped = []
    for convert in (int, float):
        for item in data["annotations"]:
            item["bbox"] = list(map(convert, item["bbox"]))
            item["segmentation"] = [list(map(convert, polygon)) for polygon in item["segmentation"]]
        (record,) = read_annotations(write(tmp_path, data)).to_dataset_dicts(images)
        mapped.append(build_mapper(cfg, is_train=True)(record)["instances"])
    integers, floats = mapped
    assert floats.gt_boxes.tensor[0, 1].item() == 5 * 53 / 40
    assert integers.gt_boxes.tensor.tolist() == floats.gt_boxes.tensor.tolist()
    for own, other in zip(integers.gt_masks.polygons, floats.gt_masks.polygons, strict=True):
        assert [polygon.tolist() for polygon in own] == [polygon.tolist() for polygon in other]


@pytest.mark.parametrize("wrap", [CheckedMapper, lambda mapper: ReplacingMapper(mapper, [])])
def test_integer_coordinates_of_other_datasets_are_scaled_like_floats(tmp_path, wrap):
    data = toy_data(1)
    image = {"file_name": f"{write_images(tmp_path, data)}/0.jpg", "height": 40, "width": 60, "image_id": 10}
    polygon = [5, 5, 25, 5, 25, 25, 5, 25]
    box = {"bbox": [5, 5, 20, 20], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "segmentation": [polygon]}
    mapper = wrap(build_mapper(make_cfg(INPUT__MIN_SIZE_TRAIN=(53,), INPUT__RANDOM_FLIP="none"), is_train=True))
    instances = mapper({**image, "annotations": [box]})["instances"]
    assert instances.gt_boxes.tensor[0, 1].item() == 5 * 53 / 40
    assert instances.gt_masks.polygons[0][0][1] == 5 * 53 / 40
    assert type(box["bbox"][0]) is int  # the record of the dataset is unchanged
