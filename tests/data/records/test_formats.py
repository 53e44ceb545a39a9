"""Test the detection of the format of an annotation file."""

import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.errors import DataError
from tests.data.toy import toy_data, write


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ([("neg",), ("neg", "not"), (), ("neg",)], "12"),
        ([(), ("neg", "not"), ("neg",), ("not",)], "10, 13"),
        ([("not",)] * 4, "10, 11, 12, 13"),
    ],
)
def test_a_file_whose_images_have_only_some_lists_needs_a_format(tmp_path, fields, lacking):
    names = {"neg": "neg_category_ids", "not": "not_exhaustive_category_ids"}
    data = toy_data()
    for image, keys in zip(data["images"], fields, strict=True):
        image |= {names[key]: [] for key in keys}
    path = write(tmp_path, data)
    with pytest.raises(DataError, match=rf'toy.json: "neg_category_ids".* {lacking}\).*FORMAT'):
        read_annotations(path)
    for name in ("lvis", "coco"):
        assert read_annotations(path, name).format == name
