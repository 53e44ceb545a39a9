"""Test that errors of mappers name the image."""

import sys

import pytest
from detectron2.data import DatasetMapper
from PIL import Image

from seesaw_d2.data.images.mapper import CheckedMapper
from tests.data.toy import make_cfg


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes of exceptions need Python 3.11")
def test_an_image_that_resizing_leaves_without_height(tmp_path):
    path = str(tmp_path / "thin.png")
    Image.new("RGB", (3000, 1)).save(path)
    mapper = CheckedMapper(DatasetMapper(make_cfg(), is_train=False))
    with pytest.raises(ValueError, match="must be > 0") as caught:
        mapper({"file_name": path, "width": 3000, "height": 1, "image_id": 1})
    assert path in str(caught.value.__notes__)
