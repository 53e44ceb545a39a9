"""Test which file an image name in an export selects, and the messages if there are no files or several files."""

import json
import os
import unicodedata

import pytest
from PIL import Image

from seesaw_d2.data import register_datasets
from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import make_cfg
from tests.ecosystem.exports import change, small
from tests.shared import shared_path

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "bär") for form in ("NFC", "NFD"))


def picture(path, color=(9, 9, 9), size=(20, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, format="PNG")


def export_of(folder, name):
    """Write an export of b.png, c.png, d.png and a fourth image ``name``. The file a.png does not exist."""
    export = small(folder, names=("b.png", "c.png", "d.png", name))
    (folder / "a.png").unlink()
    return export


def taken(output):
    """Return a dict from image id to the file of the prepared image."""
    parts = [json.loads((output / f"{split}.json").read_text())["images"] for split in ("train", "val")]
    return {image["id"]: image["file_name"] for part in parts for image in part}


@pytest.mark.parametrize(
    ("files", "name", "meant"),
    [
        (["a.png", "masks/instances/a.png"], "a.png", "a.png"),
        (["images/a.png", "images/old/images/a.png"], "images/a.png", "images/a.png"),
        (["images/a.png", "old/images/a.png"], r"images\a.png", "images/a.png"),
        (["images/a b.png", "old/images/a b.png"], "images/a%20b.png", "images/a b.png"),
        (["a%20b.png", "a b.png"], "a%20b.png", "a%20b.png"),
        (["x/1a2b3c4d-a.png", "a.png"], "1a2b3c4d-a.png", "x/1a2b3c4d-a.png"),
        (["train/a.png", "valid/a.png"], r"C:\data\valid\a.png", "valid/a.png"),
        (["default/a.png", "masks/a.png"], "../default/a.png", "default/a.png"),
        (["images/a.png", "images/.ipynb_checkpoints/a.png", "__MACOSX/._a.png"], "a.png", "images/a.png"),
        ([".hidden/a.png"], ".hidden/a.png", ".hidden/a.png"),
        (["images/a.png"], "./images/a.png", "images/a.png"),
    ],
)
def test_the_file_that_is_meant(tmp_path, files, name, meant):
    export = export_of(tmp_path / "export", name)
    for number, file in enumerate(files):
        picture(tmp_path / "export" / file, (50 + number, 0, 0))
    prepare_export(export, tmp_path / "made")
    assert taken(tmp_path / "made")[3] == meant


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["images/a.png", "masks/instances/a.png"], "a.png"),
        (["images/x/a.png", "masks/a.png"], "a.png"),
        (["images/a.png", "masks/a.png", "old/deep/er/a.png"], "other/a.png"),
        (["x/images/a.png", "y/images/a.png"], "images/a.png"),
        (["1/a.png", "images/a.png"], "/data/upload/1/a.png"),
        (["1/a.png", "images/a.png"], "/data/upload/1/1a2b3c4d-a.png"),
        (["x/a b.png", "y/a%20b.png"], "a%20b.png"),
        (["x/a.png", "y/a.png"], r"D:\z\a.png"),
    ],
)
@pytest.mark.parametrize("skip", [False, True])
def test_several_files_that_a_name_may_mean(tmp_path, files, name, skip):
    export = export_of(tmp_path / "export", name)
    for number, file in enumerate(files):
        picture(tmp_path / "export" / file, (50 + number, 0, 0))
    with pytest.raises(DataError) as error:
        prepare_export(export, tmp_path / "made", skip_bad_images=skip)
    for part in (str(export), name, *files):
        assert part in str(error.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["", None])
def test_an_image_without_a_file_name(tmp_path, name):
    export = small(tmp_path / "export", names=("a.png", "b.png", "c.png", name))
    with pytest.raises(DataError, match=r"file_name.*\b3\b"):
        prepare_export(export, tmp_path / "out")


def test_the_file_beside_the_annotation_file(tmp_path, monkeypatch):
    """Test Roboflow's layout: the same file names in train/ and valid/, also in subfolders images/."""
    for inside in ("", "images"):
        root = tmp_path / (inside or "flat")
        for split in ("train", "valid"):
            names = tuple(f"{name}.png" for name in "abcd")
            root.mkdir(exist_ok=True)
            export = small(root / split, names=names)
            for number, name in enumerate(names):
                (root / split / name).unlink()
                picture(root / split / inside / name, (number, 0, 100 * (split == "valid")))
            export.rename(root / split / "_annotations.coco.json")
        train, val = (root / split / "_annotations.coco.json" for split in ("train", "valid"))
        monkeypatch.chdir(root)
        train, val = (path.relative_to(root) for path in (train, val))
        prepare_export(train, tmp_path / "made", val=val, images=root, overwrite=True)
        for split, folder in (("train", "train"), ("val", "valid")):
            images = json.loads((tmp_path / f"made/{split}.json").read_text())["images"]
            assert [image["file_name"] for image in images] == [os.path.join(folder, inside, name) for name in names]


def test_masks_below_the_folder_of_the_annotations(tmp_path):
    """Test ADE20K's layout: a mask that is nearer to the annotation file is not preferred to the picture."""
    export = small(tmp_path / "export")
    (tmp_path / "export/annotations/masks").mkdir(parents=True)
    for name in "abcd":
        picture(tmp_path / f"export/annotations/masks/{name}.png")
        picture(tmp_path / f"export/images/{name}.png", (7, 7, 7))
        (tmp_path / f"export/{name}.png").unlink()
    export = export.rename(tmp_path / "export/annotations/instances.json")
    with pytest.raises(DataError, match=r"a\.png \(annotations/masks/a\.png, images/a\.png\)"):
        prepare_export(export, tmp_path / "made", images=tmp_path / "export")


@pytest.mark.parametrize(
    ("there", "name", "difference"),
    [
        ("images/a.PNG", "a.png", "case"),
        ("images/A.png", r"images\a.png", "case"),
        ("images/a.jpeg", "/data/upload/7/1a2b3c4d-a.jpg", "extension"),
        (f"{DECOMPOSED}.png", f"{COMPOSED}.png", "Unicode form"),
        (f"{COMPOSED}.png", f"{DECOMPOSED}.png", "Unicode form"),
        (f"x/{COMPOSED.upper()}.webp", f"{DECOMPOSED}.png", "extension and case and Unicode form"),
        ("a b.PNG", "a%20b.png", "case"),
    ],
)
def test_a_name_that_differs_a_little(tmp_path, there, name, difference):
    export = export_of(tmp_path / "export", name)
    picture(tmp_path / "export" / there)
    with pytest.raises(DataError) as error:
        prepare_export(export, tmp_path / "made")
    for part in (name, f"{there}: different {difference})", "--images"):
        assert part in str(error.value)
    notes = "\n".join(prepare_export(export, tmp_path / "made", skip_bad_images=True).notes)
    assert f"{there}: different {difference})" in notes
    assert "skipped 1 objects" in notes
    assert sorted(taken(tmp_path / "made")) == [0, 1, 2]


@pytest.mark.parametrize(
    ("there", "name", "other"),
    [
        ("masks/a.png", "images/a.png", True),
        ("images/a.png", r"C:\Users\me\photos\a.png", True),
        ("images/default/a.png", "default/a.png", False),
        ("a.png", "images/a.png", False),  # --images is the folder itself
        ("images/a.png", "a.png", False),
        ("a.png", "1a2b3c4d-a.png", False),
        ("images/a.png", "/data/upload/7/1a2b3c4d-a.png", False),
    ],
)
def test_a_file_in_another_folder_than_named_is_said(tmp_path, there, name, other):
    export = export_of(tmp_path / "export", name)
    picture(tmp_path / "export" / there)
    notes = prepare_export(export, tmp_path / "made").notes
    assert any("another folder" in note and f"{name} -> {there}" in note for note in notes) == other


def test_links_to_one_file_are_one(tmp_path):
    export = export_of(tmp_path / "export", "a.png")
    picture(tmp_path / "export/images/a.png")
    (tmp_path / "export/latest").mkdir()
    (tmp_path / "export/latest/a.png").symlink_to(tmp_path / "export/images/a.png")
    prepare_export(export, tmp_path / "made")
    assert taken(tmp_path / "made")[3] == "images/a.png"


def test_what_is_passed_over_is_said(tmp_path):
    export = small(tmp_path / "export", names=("a.png", "b.png", "c.png"))
    for name in ("masks/a.png", "masks/b.tif", "._a.png", ".thumbs/a.png", "images/.ipynb_checkpoints/a.png"):
        picture(tmp_path / "export" / name)
    (tmp_path / "export/broken.png").symlink_to(tmp_path / "nothing")
    for _ in range(2):  # in the second iteration, the output exists below the folder of the export
        found = prepare_export(export, tmp_path / "export/made").notes
        notes = "\n".join(note for note in found if note.startswith("skipped"))
        assert "3 files" in notes  # including d.png
        for part in ("2 .png", "1 .tif", "d.png", "masks/a.png", "masks/b.tif"):
            assert part in notes
        assert "3 hidden" in notes
        for part in ("._a.png", ".thumbs", "images/.ipynb_checkpoints", "skipped 1 ", "broken.png"):
            assert part in notes
        assert "result.json" not in notes


def test_pictures_with_masks_of_their_names_elsewhere():
    export = shared_path("reports/mask_of_same_name_deeper/result.json")
    with pytest.raises(DataError, match=r"im00\.png \(images/im00\.png, masks/instances/im00\.png\)"):
        prepare_export(export, export.parent / "never", images=export.parent)


def test_an_annotation_file_of_nearly_the_name(tmp_path):
    export = small(tmp_path / "export")
    with pytest.raises(ConfigError, match=r"result\.json: different case"):
        prepare_export(export.with_name("Result.JSON"), tmp_path / "made")
    entry = {"NAME": f"{tmp_path}/near", "JSON": str(export.with_suffix(".jsn")), "IMAGES": str(export.parent)}
    with pytest.raises(ConfigError, match=r"DATASETS\.REGISTER\[0\]\.JSON: .*result\.json: different extension"):
        register_datasets(make_cfg(entry))


@pytest.mark.parametrize("name", ["coco_2017", "lvis_v1", "voc_2007", "a\nb", "n" * 199])
def test_names_of_data_sets_can_be_registered(tmp_path, name):
    """Test names of the output folder that would give a config that training refuses."""
    export = small(tmp_path / "export")
    with pytest.raises(ConfigError, match=r"--output"):
        prepare_export(export, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_names_with_colons(tmp_path):
    export = export_of(tmp_path / "export", "12:30:00.png")
    picture(tmp_path / "export/12:30:00.png")
    cfg = make_cfg()
    cfg.merge_from_file(str(prepare_export(export, tmp_path / "made").config))
    register_datasets(cfg)
    assert "12:30:00.png" in taken(tmp_path / "made").values()


def test_validation_images_with_names_of_training_images(tmp_path):
    """Test exports of two videos, whose frames have the same names. Without --images, only the first folder counts."""
    train, val = small(tmp_path / "one"), small(tmp_path / "two", names=("a.png", "b.png"))
    for name in ("a.png", "b.png"):
        picture(tmp_path / "two" / name, (1, 99, 1))
    with pytest.raises(ConfigError, match=rf"--images: .*2 images of {val} .*a\.png, b\.png.* such as {tmp_path}\."):
        prepare_export(train, tmp_path / "made", val=val)
    images = json.loads(val.read_text())["images"]
    for name in ("n" * 300 + ".png", "a\0b.png", "/"):
        change(val, images=[{**images[0], "file_name": name}, images[1]])
        with pytest.raises(ConfigError, match=r"--images: .*1 images"):
            prepare_export(train, tmp_path / "made", val=val)
    change(val, images=images)
    prepare_export(train, tmp_path / "made", val=val, images=tmp_path)
    images = json.loads((tmp_path / "made/val.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["two/a.png", "two/b.png"]
