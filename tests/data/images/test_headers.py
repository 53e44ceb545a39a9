"""Test that bad image files are found by their headers, before anything is written."""

import logging
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import detection_utils
from PIL import Image

from seesaw_d2.data.classification.mapper import read_rgb
from seesaw_d2.data.images import headers as image_headers
from seesaw_d2.data.images.decoding_check import examine_images
from seesaw_d2.data.images.headers import check_headers, is_image
from seesaw_d2.errors import DataError
from seesaw_d2.predict.image_sources import check_images
from seesaw_d2.utils import messages
from tests.data.toy import HEIGHT, WIDTH, toy_data, write_images


@pytest.fixture
def records(tmp_path):
    data = toy_data()
    write_images(tmp_path, data)
    return [{**image, "file_name": str(tmp_path / image["file_name"])} for image in data["images"]]


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_no_image(records, content):
    check_headers(records, "toy", skip=False)
    Path(records[1]["file_name"]).write_bytes(content)
    with pytest.raises(
        DataError, match=r"dataset toy: .* 1 of .*: \S+1\.jpg \(UnidentifiedImageError.*SKIP_BAD_IMAGES"
    ):
        check_headers(records, "toy", skip=False)
    check_headers(records, "toy", skip=True)


def test_folder(records, tmp_path):
    records[1]["file_name"] = f"{tmp_path}/."
    with pytest.raises(DataError, match=r"/\. \(.*directory"):
        check_headers(records, "toy", skip=False)


@pytest.mark.parametrize("skip", [False, True])
def test_size(records, skip):
    Image.new("RGB", (HEIGHT, WIDTH)).save(records[1]["file_name"])
    with pytest.raises(DataError, match=r"1\.jpg \(annotated 60 x 40, found 40 x 60\)"):
        check_headers(records, "toy", skip=skip)
    del records[1]["width"]
    check_headers(records, "toy", skip=skip)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_rotation(records, tmp_path, suffix):
    """Test that sizes include the rotation in the EXIF data, as in Detectron2."""
    exif = Image.Exif()
    exif[0x0112] = 6
    records[1]["file_name"] = str(tmp_path / f"turned.{suffix}")
    Image.new("RGB", (HEIGHT, WIDTH)).save(records[1]["file_name"], exif=exif)
    check_headers(records, "toy", skip=False)
    Image.new("RGB", (WIDTH, HEIGHT)).save(records[1]["file_name"], exif=exif)
    with pytest.raises(DataError, match="annotated 60 x 40, found 40 x 60"):
        check_headers(records, "toy", skip=False)


@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
def test_rotated_tiff_files(records, tmp_path, orientation):
    """Test TIFF files, which Pillow rotates. Detectron2 then rotates them again, so that no annotation fits."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / "turned.tif")
    size = (HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT)
    corner = np.zeros((*size[::-1], 3), np.uint8)
    corner[:5, :5] = 255
    Image.fromarray(corner).save(path, exif=exif)
    twice = not np.array_equal(detection_utils.read_image(path, "RGB"), np.asarray(read_rgb(path)))
    records[1]["file_name"] = path
    check_headers(records, "toy", skip=True, twice="accept")
    kinds = [image.kind for image in examine_images(records, workers=1)]
    assert kinds.count("twice") == twice == (orientation > 1)
    if twice:
        with pytest.raises(DataError, match=rf"dataset toy: .*1 of 4 .*{path} \(orientation {orientation}\)"):
            check_headers(records, "toy", skip=True)
        with pytest.raises(DataError, match=f"--input: .*{path}"):
            check_images([path])
    else:
        check_headers(records, "toy", skip=False)
        check_images([path])


@pytest.mark.parametrize(("suffix", "dtype"), [("png", np.uint16), ("tiff", np.int32), ("tiff", np.float32)])
def test_deep_images(records, tmp_path, caplog, suffix, dtype):
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(np.full((HEIGHT, WIDTH), 1000, dtype)).save(path)
    records[2]["file_name"] = str(path)
    with caplog.at_level(logging.WARNING):
        check_headers(records, "toy", skip=False)
    assert "toy" in caplog.text
    assert str(path) in caplog.text
    assert "0.jpg" not in caplog.text


@pytest.mark.parametrize(
    ("form", "said"), [("GIF", True), ("TIFF", True), ("PNG", True), ("WEBP", True), ("MPO", False)]
)
def test_files_of_several_frames(records, tmp_path, caplog, monkeypatch, form, said):
    """Test the warning about several frames. Photos with a preview or a brightness map give no warning."""
    monkeypatch.setattr(messages, "_already_logged", set())
    pictures = [Image.new("RGB", (WIDTH, HEIGHT), color) for color in ("red", "blue", "green")]
    pictures[0].save(tmp_path / "x", format=form, save_all=True, append_images=pictures[1:])
    records[2]["file_name"] = str(tmp_path / "x")
    with caplog.at_level(logging.WARNING):
        check_headers(records, "toy", skip=False)
    assert [record["file_name"] in caplog.text for record in records] == [False, False, said, False]


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n" + bytes(100), b"\0\0\x01\xb3\x10\x00\x10" + bytes(100)])
def test_formats_that_are_only_recognized_are_no_images(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    assert not is_image(str(tmp_path / "x.jpg"))


@pytest.mark.parametrize(("limit", "opened"), [(4, [0, 1, 2, 3]), (3, [0, 2]), (1, [0])])
def test_large_data_sets_are_sampled(records, monkeypatch, limit, opened):
    monkeypatch.setattr(image_headers, "MAX_OPENED", limit)
    seen = []
    monkeypatch.setattr(
        image_headers, "read_header", lambda path, size: (seen.append(path), image_headers.Header(size, "RGB"))[1]
    )
    check_headers(records, "toy", skip=False)
    assert sorted(seen) == [records[index]["file_name"] for index in opened]
