"""Test the check that decodes all images in several processes, also if a decoder kills its process."""

import os
from collections import Counter

import pytest
from PIL import Image

from seesaw_d2.data.images import decoding_check as decoding
from tests.data.toy import toy_data, write_images


@pytest.mark.parametrize(
    ("options", "mode", "kind"),
    [({}, "RGB", ""), ({"save_all": True}, "RGB", "several"), ({}, "I;16", "deep"), ({}, "1", "")],
)
def test_what_a_file_is(tmp_path, options, mode, kind):
    pages = [Image.new(mode, (6, 4), value) for value in (0, 1)]
    pages[0].save(tmp_path / "a.tif", append_images=pages[1:] if options else [], **options)
    records = [{"file_name": str(tmp_path / "a.tif"), "width": 6, "height": 4}]
    assert [image.kind for image in decoding.examine_images(records, workers=1)] == [kind]


@pytest.mark.parametrize("bad", [(), (0,), (7,), (3, 4, 11)])
def test_only_the_image_that_kills_its_process_is_named(tmp_path, monkeypatch, bad):
    """Test that each image is reported once, and that images before and after the bad image are valid."""
    data = toy_data(12)
    images = write_images(tmp_path, data)
    records = [{"file_name": f"{images}/{index}.jpg", "width": 60, "height": 40} for index in range(12)]
    culprits = {records[index]["file_name"] for index in bad}
    read = decoding.read_header

    def crash(path, expected):
        if path in culprits:
            os._exit(1)
        return read(path, expected)

    monkeypatch.setattr(decoding, "read_header", crash)
    monkeypatch.setattr(decoding, "_CHUNK", 2)
    found = list(decoding.examine_images(records, workers=2))
    assert Counter(image.path for image in found) == Counter(record["file_name"] for record in records)
    assert {image.path for image in found if image.kind} == culprits
    assert all(image.kind == "unreadable" and "crashed" in image.problem for image in found if image.kind)
