"""Test errors for exports without usable objects, and notes about skipped and repaired parts of other exports."""

import json
import re

import pytest
from PIL import Image

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.errors import DataError
from tests.ecosystem.exports import change, command, small
from tests.shared import shared_path

SQUARE = [[2, 2, 11, 2, 11, 11, 2, 11]]


def objects_of(export):
    return json.loads(export.read_text())["annotations"]


def refused(capsys, *arguments) -> str:
    """Return a function that runs a failing command, checks that nothing is written, and returns the error."""
    status, out, err = command(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    return err


CROWD = {"iscrowd": 1}
BOX_AS_MASK = {"segmentation": [[2, 2, 9, 9]]}
POINTS = {"segmentation": [[2, 2, 11, 2, 11]]}
FLAT = {"bbox": [2, 2, 0, 9]}
OUTSIDE = {"bbox": [22, 2, 9, 9], "segmentation": [[22, 2, 31, 2, 31, 11, 22, 11]]}
ONE_POINT = {"segmentation": [[5, 5, 5, 5, 5, 5]]}
LINE = {"segmentation": [[2, 2, 5, 5, 11, 11]]}
NO_PIXEL = {"segmentation": {"size": [20, 20], "counts": [400]}}


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ([CROWD] * 4, ["4 are crowds"]),
        ([BOX_AS_MASK] * 4, ["4 have no polygon", '"segmentation" of 4 objects']),
        ([POINTS] * 4, ["4 have no polygon"]),
        ([FLAT] * 4, ["4 have a box"]),
        (
            [OUTSIDE, {**OUTSIDE, "segmentation": []}, FLAT],
            ["2 have a box outside", "ids 0, 1", "1 have a box w"],
        ),
        ([ONE_POINT, LINE, NO_PIXEL], ["3 have a mask without area", "ids 0, 1, 2"]),
        (
            [CROWD, BOX_AS_MASK, FLAT, POINTS],
            ["1 are crowds", "2 have no polygon", '"segmentation" of 1', "1 have a box"],
        ),
        ([], ['"annotations"']),
    ],
)
def test_no_object_is_left(tmp_path, capsys, changes, counts):
    export = small(tmp_path / "export", segmentation=SQUARE)
    objects = objects_of(export)[: len(changes)]
    change(export, annotations=[{**item, **other} for item, other in zip(objects, changes, strict=True)])
    err = refused(capsys, export, "--output", tmp_path / "made")
    for part in (str(export), *counts):
        assert part in err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("other", [CROWD, POINTS, FLAT, OUTSIDE, LINE])
def test_no_object_is_left_of_the_validation_images(tmp_path, capsys, other):
    """Test that each of the two files needs an object. Objects of the other file do not count."""
    good, bad = small(tmp_path / "good", segmentation=SQUARE), small(tmp_path / "bad", segmentation=SQUARE)
    for number, path in enumerate((tmp_path / "bad").glob("*.png")):
        Image.new("RGB", (20, 20), (0, 9, number)).save(path)
    change(bad, annotations=[{**item, **other} for item in objects_of(bad)])
    for train, val in ((good, bad), (bad, good)):
        err = refused(capsys, train, "--val", val, "--images", tmp_path, "--output", tmp_path / "made")
        assert f"{bad}: expected at least one" in err


def test_no_image_is_left(tmp_path, capsys):
    export = small(tmp_path / "export", names=("w.png", "x.png", "y.png", "z.png"))
    err = refused(capsys, export, "--output", tmp_path / "made", "--skip-bad-images")
    assert f"{export}: " in err
    assert "w.png, x.png, y.png, z.png" in err


@pytest.mark.parametrize("kept", [1, 2])
def test_nothing_to_split(tmp_path, capsys, kept):
    """Test one image, and two images that each have the only object of a category."""
    export = small(tmp_path / "export")
    data = json.loads(export.read_text())
    change(export, images=data["images"][:kept], annotations=data["annotations"][:kept])
    err = refused(capsys, export, "--output", tmp_path / "made")
    assert str(export) in err
    assert "--val" in err


def test_copies_of_one_picture_cannot_be_split(tmp_path, capsys):
    export = small(tmp_path / "export")
    for name in "bcd":
        (tmp_path / f"export/{name}.png").write_bytes((tmp_path / "export/a.png").read_bytes())
    assert "--val" in refused(capsys, export, "--output", tmp_path / "made")


def test_a_split_counts_objects_that_can_be_used(tmp_path):
    """Test that the last usable object of a category is in the training set, and that unusable objects do not count."""
    for seed in range(8):
        export = small(tmp_path / "export", segmentation=SQUARE)
        objects = objects_of(export)
        wrong = [{**objects[1], "id": 11, **POINTS, "category_id": 0}, {**objects[3], "id": 13, **CROWD}]
        change(export, annotations=[objects[0], *[{**item, "category_id": 1} for item in objects[1:]], *wrong])
        done = prepare_export(export, tmp_path / "made", seed=seed, overwrite=True)
        assert done.category_images["cat"] == (1, 0)
        assert sum(done.category_images["dog"]) == 3
        trained = json.loads((tmp_path / "made/train.json").read_text())["annotations"]
        assert 0 in [item["id"] for item in trained]


def test_a_category_without_an_object_that_can_be_used_is_listed(tmp_path, capsys):
    export = small(tmp_path / "export", segmentation=SQUARE)
    change(export, annotations=[{**item, **(POINTS if item["category_id"] else {})} for item in objects_of(export)])
    status, out, _ = command(capsys, export, "--output", tmp_path / "made")
    assert status == 0
    assert re.search("without a training image.*: dog", out)


@pytest.mark.parametrize("other", [ONE_POINT, LINE, NO_PIXEL])
def test_masks_without_area_are_said(tmp_path, other):
    export = small(tmp_path / "export", segmentation=SQUARE)
    objects = objects_of(export)
    change(export, annotations=[*objects, {**objects[0], "id": 9, **other}])
    notes = prepare_export(export, tmp_path / "made").notes
    assert any("1 objects have a mask without area" in note and "annotation ids 9" in note for note in notes)


def test_crowds_are_said(tmp_path):
    export = small(tmp_path / "export", segmentation=SQUARE)
    objects = objects_of(export)
    change(export, annotations=[*objects, {**objects[0], "id": 9, **CROWD}])
    notes = prepare_export(export, tmp_path / "made").notes
    assert any("1 of 5 objects are crowds" in note and "annotation ids 9" in note for note in notes)


def turned(path, orientation, size=(20, 10)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, (orientation, 5, 5)).save(path, "JPEG", exif=exif)


def test_sizes_before_the_rotation_of_exif_data(tmp_path, capsys):
    """Test four photos: two are annotated without their EXIF rotation, and one is on its side without EXIF data."""
    names = ("a.jpg", "b.jpg", "c.jpg", "d.png")
    export = small(tmp_path / "export", names=names)
    for name, orientation in zip(names, (6, 8, 3), strict=False):
        turned(tmp_path / "export" / name, orientation)
    Image.new("RGB", (10, 20)).save(tmp_path / "export/d.png")
    images = json.loads(export.read_text())["images"]
    change(export, images=[{**image, "width": 20, "height": 10} for image in images])
    err = refused(capsys, export, "--output", tmp_path / "made")
    assert "3 of 4 images" in err
    parts = dict(part.split(" (", 1) for part in err.split(": ", 3)[-1].split("), "))
    assert sorted(parts) == ["a.jpg", "b.jpg", "d.png"]
    assert [name for name in sorted(parts) if "EXIF" in parts[name]] == ["a.jpg", "b.jpg"]
    change(
        export,
        images=[
            {**image, **({"width": 20, "height": 10} if name == "c.jpg" else {"width": 10, "height": 20})}
            for image, name in zip(images, names, strict=True)
        ],
        annotations=[{**item, "bbox": [1, 1, 5, 5]} for item in objects_of(export)],
    )
    assert command(capsys, export, "--output", tmp_path / "made")[0] == 0


def test_images_of_16_bits_are_said(tmp_path):
    export = small(tmp_path / "export")
    Image.new("I;16", (20, 20), 4000).save(tmp_path / "export/b.png")
    notes = "\n".join(prepare_export(export, tmp_path / "made").notes)
    assert "8 bits" in notes
    assert ": b.png" in notes


def test_images_of_several_pages_are_said(tmp_path):
    export = small(tmp_path / "export")
    pages = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / "export/b.png", save_all=True, append_images=pages[1:])
    assert [
        note
        for note in prepare_export(export, tmp_path / "made").notes
        if "several frames" in note and ": b.png" in note
    ]


@pytest.mark.parametrize(
    ("categories", "kept"),
    [
        ([("cat", "none"), ("cat", "cat")], [1]),
        ([("animals", "none"), ("cat", "animals"), ("dog", "animals")], [1, 2]),
        ([("cat", ""), ("cat", "cat"), ("dog", "cat")], [1, 2]),
        ([("dog", "none"), ("cat", "cat")], [0, 1]),  # not a root category, but a category without labelled objects
        ([("cat", "cat"), ("dog", "dog")], [0, 1]),
    ],
)
def test_roots_of_roboflow(tmp_path, categories, kept):
    export = small(tmp_path / "export")
    listed = [{"id": index, "name": name, "supercategory": of} for index, (name, of) in enumerate(categories)]
    change(export, categories=listed, annotations=[{**item, "category_id": 1} for item in objects_of(export)])
    prepare_export(export, tmp_path / "made")
    for split in ("train", "val"):
        found = json.loads((tmp_path / f"made/{split}.json").read_text())["categories"]
        assert [item["id"] for item in found] == kept


def test_twins_are_no_root(tmp_path):
    export = small(tmp_path / "export")
    twins = [{"id": index, "name": "cat", "supercategory": "cat"} for index in (0, 1)]
    change(export, categories=twins, annotations=[{**item, "category_id": 1} for item in objects_of(export)])
    with pytest.raises(DataError, match="cat"):
        prepare_export(export, tmp_path / "made")


@pytest.mark.parametrize(
    ("export", "part"),
    [
        ("box_as_segmentation/train.json", "16 have no polygon"),
        ("box_as_segmentation/train_text_ids.json", "'1541715161405'"),
        ("exif/stored.json", "EXIF"),
        ("nothing_to_split/one.json", "--val"),
    ],
)
def test_exports_that_are_refused(tmp_path, capsys, export, part):
    assert part in refused(capsys, shared_path(f"reports/{export}"), "--output", tmp_path / "made")


@pytest.mark.parametrize(
    ("export", "part"),
    [
        ("exif/upright.json", "train      6 images"),
        ("roboflow_root_named_like_class/_annotations.coco.json", "categories 1\n"),
        ("area_zero/export.json", '16 of 16 objects have no positive "area"'),
        ("xyxy_inside/xyxy_inside.json", "the boxes of 12 of 12 objects"),
    ],
)
def test_exports_that_are_taken(tmp_path, capsys, export, part):
    status, out, _ = command(capsys, shared_path(f"reports/{export}"), "--output", tmp_path / "made")
    assert status == 0
    assert part in out
