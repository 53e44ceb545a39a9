"""Test the mapper of image classification: from a record to the input of the model."""

import numpy as np
import pytest
import torch
from PIL import Image

from seesaw_d2.data.classification.mapper import ClassificationMapper, read_rgb
from seesaw_d2.errors import DataError

RECORD = {"array": np.arange(192, dtype=np.uint8).reshape(8, 8, 3), "image_id": 7, "annotations": [{"category_id": 3}]}


def test_evaluation_leaves_an_image_of_the_right_size_as_it_is():
    result = ClassificationMapper(is_train=False, size=8, crop="padded")(RECORD)
    assert result["label"] == 3
    assert (result["image"] == torch.from_numpy(RECORD["array"].transpose(2, 0, 1))).all()
    bgr = ClassificationMapper(is_train=False, size=8, crop="padded", image_format="BGR")(RECORD)
    assert (bgr["image"] == result["image"].flip(0)).all()


def test_whole_images_are_trained_on_as_they_are():
    mapper = ClassificationMapper(is_train=True, size=8, crop="whole", flip=False)
    assert (mapper(RECORD)["image"] == torch.from_numpy(RECORD["array"].transpose(2, 0, 1))).all()
    flipping = ClassificationMapper(is_train=True, size=8, crop="whole", flip=True)
    found = {bytes(flipping(RECORD)["image"].numpy()) for _ in range(30)}
    assert found == {bytes(image.numpy()) for image in (mapper(RECORD)["image"], mapper(RECORD)["image"].flip(2))}


@pytest.mark.parametrize("crop", ["resized", "padded", "whole"])
@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("size", [(40, 30), (7, 90)])
def test_every_image_comes_out_square(crop, is_train, size):
    record = {**RECORD, "array": np.zeros((*size, 3), dtype=np.uint8)}
    mapper = ClassificationMapper(is_train=is_train, size=24, crop=crop, color_jitter=0.4)
    assert mapper(record)["image"].shape == (3, 24, 24)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_images_that_are_not_rgb_become_rgb(tmp_path, mode):
    path = tmp_path / f"image.{'tif' if mode == 'CMYK' else 'png'}"
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(path)
    image = read_rgb(str(path))
    assert image.mode == "RGB"
    assert (np.asarray(image) == 255).all()


def test_sixteen_bits_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((3, 4), 40000, dtype=np.uint16)).save(path)
    with pytest.raises(DataError, match=r"deep\.png: .*I;16"):
        read_rgb(str(path))
