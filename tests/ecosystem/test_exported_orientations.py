import pytest
from PIL import Image

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
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
