"""Test tiles in LVIS format from generated pages."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from seesaw_d2.data.muscima import Split, TileSettings, prepare_tiles
from seesaw_d2.data.muscima.ink import scaled
from seesaw_d2.data.records.annotation_files import check_annotations
from seesaw_d2.errors import DataError
from tests.data.muscima.written import RING, node, page, three_pages, write_source

LEFT_OUT = ("staff", "staffSpace")


def prepare(folder, name="tiles", pages=None, **settings):
    source = folder / "muscima"
    if not source.exists():
        write_source(source, pages)
    settings = TileSettings(**{"left_out": LEFT_OUT, "scale": 1, "tile": 32, "overlap": 8, **settings})
    done = prepare_tiles(source, folder / name, settings, workers=1)
    return done, *(json.loads((done.root / f"{part}.json").read_text()) for part in ("train", "test"))


def objects(data, image_id):
    names = {category["id"]: category["name"] for category in data["categories"]}
    return sorted(
        (names[item["category_id"]], *item["bbox"]) for item in data["annotations"] if item["image_id"] == image_id
    )


def test_annotations_and_pictures(tmp_path):
    done, train, _ = prepare(tmp_path)
    assert [category["name"] for category in train["categories"]] == ["fClef", "gClef", "noteheadHalf", "stem"]
    first, second = train["images"]
    assert objects(train, first["id"]) == [
        ("gClef", 14, 4, 6, 6),
        ("noteheadHalf", 4, 2, 4, 4),
        ("stem", 30, 2, 2, 20),  # the tile has this object once, although it is annotated twice
    ]
    assert objects(train, second["id"]) == [("stem", 6, 2, 2, 20)]  # tiles begin every 24 pixels
    assert first["neg_category_ids"] == [1]
    (note,) = [item for item in train["annotations"] if item["category_id"] == 3]
    mask = coco_mask.decode(note["segmentation"])
    assert (mask[2:6, 4:8] == RING).all()
    assert mask.sum() == RING.sum() == note["area"]
    picture = np.asarray(Image.open(done.root / "images" / "/".join(first["coco_url"].split("/")[-2:])))
    assert set(np.unique(picture)) == {0, 255}
    assert (picture[2:6, 4:8] == 255 * (1 - RING)).all()
    assert (picture[24] == 0).all()  # the staff lines are black, the space between them is white
    assert (picture[12, :14] == 255).all()
    assert "drawn" in train["info"]["description"]
    assert any("1 copies" in note for note in done.notes)


def test_the_parts(tmp_path):
    done, train, test = prepare(tmp_path)
    assert done.counts == {
        "train": {"pages": 1, "tiles": 2, "objects": 4},
        "test": {"pages": 2, "tiles": 3, "objects": 4},  # two tiles of page 5. The second tile shows only the staff
    }
    ids = [image["id"] for image in train["images"] + test["images"]]
    assert sorted(set(ids)) == ids
    assert not any(item["category_id"] == 1 for item in test["annotations"])  # fClef has no training objects
    assert any("fClef" in note for note in done.notes)
    assert [image["not_exhaustive_category_ids"] for image in test["images"]] == [[1], [], []]  # one tile shows it
    assert [1 in image["neg_category_ids"] for image in test["images"]] == [False, True, True]
    assert [c["image_count"] for c in test["categories"]] == [0, 1, 1, 2]
    for part in (train, test):
        check_annotations(part, "x", "lvis")


def test_small_pieces_are_not_annotated_but_excused(tmp_path):
    long = page(1, 1, node("slur", 0, 0, np.ones((2, 40))), node("stem", 0, 0, np.ones((4, 1))))
    other = page(5, 1, node("slur", 0, 0, np.ones((2, 8))))
    _, train, _ = prepare(tmp_path, pages=[long, other], left_out=(), overlap=0, visible=0.3)
    (only,) = train["images"]  # the second tile shows 8 of the slur's 40 pixels, and nothing else
    assert objects(train, only["id"]) == [("slur", 0, 0, 32, 2), ("stem", 0, 0, 1, 4)]
    _, _, test = prepare(tmp_path, "other", left_out=(), overlap=0, split=Split(fold=1))
    first, second = test["images"]
    assert first["not_exhaustive_category_ids"] == [2]  # the stem has no training object, because page 5 has no stem
    assert second["not_exhaustive_category_ids"] == [1]
    assert second["neg_category_ids"] == [2]


def test_half_size(tmp_path):
    _, train, _ = prepare(tmp_path, scale=0.5)
    assert objects(train, 1) == [("gClef", 7, 2, 3, 3), ("noteheadHalf", 2, 1, 2, 2), ("stem", 15, 1, 1, 10)]


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77])
def test_a_part_is_shrunk_as_in_the_whole(scale):
    whole = np.zeros((41, 53), dtype=np.uint8)
    part = np.random.default_rng(0).integers(0, 256, (17, 11), dtype=np.uint8)
    whole[7:24, 13:24] = part
    expected, _, _ = scaled(whole, scale)
    found, top, left = scaled(part, scale, 7, 13)
    window = expected[top : top + found.shape[0], left : left + found.shape[1]].astype(int)
    assert abs(window - found).max() <= 1
    assert abs(expected.sum() - found.sum(dtype=int)) < 100


def test_same_bytes_and_nothing_twice(tmp_path):
    done, *_ = prepare(tmp_path)
    again, *_ = prepare(tmp_path)
    assert (done.made, again.made) == (True, False)
    assert again.counts == done.counts
    other, *_ = prepare(tmp_path, "other")
    files = [sorted(path for path in root.rglob("*") if path.is_file()) for root in (done.root, other.root)]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    with pytest.raises(DataError, match=r"tiles.*scale"):
        prepare(tmp_path, scale=0.5)


def test_an_unknown_class_is_named(tmp_path):
    with pytest.raises(DataError, match="staffs"):
        prepare(tmp_path, left_out=("staffs",))


def test_page_images(tmp_path):
    source = write_source(tmp_path / "muscima")
    scans = tmp_path / "ideal"
    light = np.zeros((30, 50), dtype=np.uint8)  # images of CVC-MUSCIMA have light symbols on a dark background
    light[3, 5:45] = 255
    for (writer, number), picture in (((1, 3), light), ((5, 3), 255 - light), ((10, 7), light)):
        folder = scans / f"w-{writer:02d}/image"
        folder.mkdir(parents=True)
        Image.fromarray(picture).save(folder / f"p{number:03d}.png")
    settings = TileSettings(left_out=LEFT_OUT, scale=1, tile=64, overlap=0)
    done = prepare_tiles(source, tmp_path / "tiles", settings, images=scans, workers=1)
    for picture in done.root.glob("images/*/*.png"):
        assert (np.asarray(Image.open(picture))[:30, :50] == 255 - light).all()
    assert "CVC-MUSCIMA" in json.loads((done.root / "train.json").read_text())["info"]["description"].split("cite")[0]
    (scans / "w-10/image/p007.png").unlink()
    with pytest.raises(DataError, match="W-10_N-07"):
        prepare_tiles(source, tmp_path / "other", settings, images=scans, workers=1)
    Image.fromarray(light[:9]).save(scans / "w-10/image/p007.png")
    with pytest.raises(DataError, match=r"p007\.png.*50 x 9"):
        prepare_tiles(source, tmp_path / "other", settings, images=scans, workers=1)


def test_pages_of_one_part_only(tmp_path):
    with pytest.raises(DataError, match=r"--fold 0.*train"):
        prepare(tmp_path, pages=three_pages()[1:])
