import pytest
from PIL import Image

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.errors import DataError
from tests.ecosystem.exports import small


@pytest.mark.parametrize(
    ("orientation", "noted"), [(0, False), (1, False), (2, True), (3, True), (6, True), (9, False)]
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_data_that_do_not_change_the_size_are_said(tmp_path, orientation, noted, name):
    """Test square images. Their annotated size does not show whether the annotations fit the rotated image."""
    export = small(tmp_path / "export", names=(name, "b.png", "c.png", "d.png"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "export" / name, exif=exif)
    notes = [note for note in prepare_export(export, tmp_path / "made").notes if "EXIF" in note]
    assert len(notes) == noted
    for note in notes:
        assert "1 of 4 images" in note
        assert f"{name} (EXIF orientation {orientation})" in note


@pytest.mark.parametrize("skip", [False, True])
def test_rotated_tiff_files_are_refused(tmp_path, skip):
    export = small(tmp_path / "export", names=("a.tif", "b.png", "c.png", "d.png"))
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "export/a.tif", exif=exif)
    with pytest.raises(DataError, match=r"1 of 4 images .*a\.tif .*EXIF orientation 3"):
        prepare_export(export, tmp_path / "made", skip_bad_images=skip)
