"""Test that label maps are checked before a training."""

import pytest
from PIL import Image

from seesaw_d2.data.records.semantic import SemanticLabels, check_label_maps
from seesaw_d2.errors import DataError


@pytest.mark.parametrize(
    ("names", "shared"),
    [
        (("1.jpg", "2.jpg"), False),
        (("1.jpg", "1.png"), True),
        (("1.jpg", "1.jpg"), False),
        (("1.jpg", "a/1.jpg"), False),
    ],
)
def test_a_label_map_belongs_to_one_image(tmp_path, names, shared):
    """Test images that differ only in the extension, which label maps do not have. A repeated image is no problem."""
    (tmp_path / "maps/a").mkdir(parents=True)
    for name in ("1", "2", "a/1"):
        Image.new("L", (6, 4)).save(tmp_path / f"maps/{name}.png")
    records = [{"file_name": str(tmp_path / "images" / name), "height": 4, "width": 6} for name in names]
    records = SemanticLabels(str(tmp_path / "maps"), "").added_to(records, str(tmp_path / "images"))
    if shared:
        with pytest.raises(DataError, match=r"'toy': .*maps/1\.png \(.*1\.jpg, .*1\.png\)"):
            check_label_maps(records, "toy")
    else:
        check_label_maps(records, "toy")
