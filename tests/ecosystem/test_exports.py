"""Test errors and notes about exports that would spoil a training."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.errors import ConfigError, DataError
from tests.ecosystem.exports import command, small

ROOT = Path(__file__).parents[2]
SQUARE = [[2, 2, 11, 2, 11, 11, 2, 11]]


def files_of(output, *splits):
    found = [json.loads((output / f"{split}.json").read_text())["images"] for split in splits or ("train", "val")]
    return sorted(image["file_name"] for part in found for image in part)


@pytest.mark.parametrize("field", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_a_file_of_lviss_is_refused(tmp_path, capsys, field):
    """Test that LVIS files are refused. In COCO format, their images would count as exhaustively annotated."""
    export = small(tmp_path / "export")
    data = json.loads(export.read_text())
    data["images"][1][field] = []
    export.write_text(json.dumps(data))
    status, _, err = command(capsys, export, "--output", tmp_path / "made")
    assert (status, err.count("\n")) == (2, 1)
    assert "found the LVIS format" in err
    assert "1 of 4 images" in err
    assert "FORMAT lvis in DATASETS.REGISTER" in err
    assert not (tmp_path / "made").exists()


def test_images_that_cannot_be_read(tmp_path, capsys):
    """Test empty, truncated and text files: an error lists them, or they are skipped together with their objects."""
    export = small(tmp_path / "export")
    Image.effect_noise((20, 20), 90).save(tmp_path / "export/b.png")
    (tmp_path / "export/a.png").write_bytes(b"")
    (tmp_path / "export/b.png").write_bytes((tmp_path / "export/b.png").read_bytes()[:-100])
    (tmp_path / "export/c.png").write_text("this is no image")
    status, out, err = command(capsys, export, "--output", tmp_path / "made")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "3 of 4 images" in err
    assert ": a.png (" in err
    for part in ("the file is empty", "b.png (", "c.png (", "--skip-bad-images"):
        assert part in err
    assert not (tmp_path / "made").exists()
    (tmp_path / "export/a.png").unlink()
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "export/b.png")
    status, out, err = command(capsys, export, "--output", tmp_path / "made", "--skip-bad-images")
    assert (status, err) == (0, "")
    assert files_of(tmp_path / "made") == ["b.png", "d.png"]
    assert re.search(r"note .*skipped 1 of 4 .*: a\.png", out)
    assert re.search(r"note .*skipped 1 of 3 .*: c\.png", out)
    objects = [json.loads((tmp_path / f"made/{split}.json").read_text())["annotations"] for split in ("train", "val")]
    assert sorted(item["image_id"] for part in objects for item in part) == [1, 3]


def test_images_of_another_size(tmp_path):
    export = small(tmp_path / "export")
    Image.new("RGB", (10, 20)).save(tmp_path / "export/b.png")
    with pytest.raises(DataError, match=r"1 of 4 .*width x height: b\.png \(.*10 x 20"):
        prepare_export(export, tmp_path / "made", skip_bad_images=True)


@pytest.mark.parametrize("copied", [False, True], ids=["the same files", "files with the same content"])
def test_validation_images_that_are_trained_on(tmp_path, capsys, copied):
    """Test that validation images in the training set are refused with their names, unless they are allowed."""
    train = small(tmp_path / "export")
    names = ("a.png", "b.png", "e.png", "f.png")
    val = small(tmp_path / "export", names=names).rename(tmp_path / "export/val.json")
    small(tmp_path / "export")
    for name in "ef":
        Image.new("RGB", (20, 20), (0, 0, 99 + ord(name))).save(tmp_path / f"export/{name}.png")
    if copied:
        (tmp_path / "valid").mkdir()
        for name in names:
            shutil.copy(tmp_path / "export" / name, tmp_path / "valid" / f"copy_{name}")
        val = small(tmp_path / "valid", names=tuple(f"copy_{name}" for name in names))
    arguments = [train, "--val", val, "--images", tmp_path, "--output", tmp_path / "made"]
    status, out, err = command(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    shared = "2 of 4 validation images"
    assert "--val: " in err
    assert shared in err
    assert ("valid/copy_a.png (= export/a.png), valid/copy_b.png (= export/b.png)." if copied else "") in err
    assert not (tmp_path / "made").exists()
    status, out, _ = command(capsys, *arguments, "--allow-overlap")
    assert status == 0
    assert f"note       kept {shared}" in out


def test_the_whole_of_the_training_set_as_validation(tmp_path):
    export = small(tmp_path / "export")
    with pytest.raises(DataError, match=r"4 of 4 validation images .*: a\.png, b\.png"):
        prepare_export(export, tmp_path / "made", val=export)


def test_a_split_keeps_copies_together(tmp_path):
    export = small(tmp_path / "export")
    shutil.copy(tmp_path / "export/a.png", tmp_path / "export/c.png")
    for seed in range(6):
        done = prepare_export(export, tmp_path / "made", val_share=0.5, seed=seed, overwrite=True)
        parts = [files_of(tmp_path / "made", split) for split in ("train", "val")]
        assert sum({"a.png", "c.png"} <= set(part) for part in parts) == 1
        assert any("same content stay together in the split: a.png = c.png" in note for note in done.notes)


def test_one_file_for_two_images(tmp_path):
    export = small(tmp_path / "export", names=("x/a.png", "y/a.png", "c.png", "d.png"))
    with pytest.raises(DataError, match=r"\"images\": .*a\.png \(image ids 0, 1\)"):
        prepare_export(export, tmp_path / "made")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (r"C:\Users\me\my images\a b.png", "a b.png"),
        ("/data/upload/3/1a2b3c4d-a%20b.png", "1a2b3c4d-a b.png"),
        ("/data/upload/3/1a2b3c4d-a%20b.png", "a b.png"),
        ("images/1a2b3c4d__a.png", "a.png"),
        ("/data/local-files/?d=set%201%2Fa%20b.png", "set 1/a b.png"),
        ("s3://bucket/a.png?x=1", "a.png"),
        ("50%25 off.png", "50%25 off.png"),
        ("photo.jfif", "photo.jfif"),
        (r"images\a.png", r"images\a.png"),  # some programs unpack archives of Windows to such names
    ],
)
def test_names_that_tools_give(tmp_path, name, file):
    export = small(tmp_path / "export", names=("1.png", "b.png", "c.png", name))
    (tmp_path / "export" / file).parent.mkdir(exist_ok=True)
    Image.new("RGB", (20, 20), (5, 5, 5)).save(tmp_path / "export/1.png")
    Image.new("RGB", (20, 20), (7, 7, 7)).save(tmp_path / "export" / file, format="PNG")
    prepare_export(export, tmp_path / "made")
    assert file in files_of(tmp_path / "made")


def test_images_behind_a_link_to_a_folder(tmp_path):
    export = small(tmp_path / "export", names=("images/a.png", "images/b.png", "images/c.png", "images/d.png"))
    (tmp_path / "elsewhere").mkdir()
    for path in (tmp_path / "export").glob("*.png"):
        path.rename(tmp_path / "elsewhere" / path.name)
    (tmp_path / "export/images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "export")
    prepare_export(export, tmp_path / "made")
    assert files_of(tmp_path / "made") == [f"images/{name}.png" for name in "abcd"]


@pytest.mark.parametrize(
    ("options", "option", "found"),
    [
        (("--val", "val.json", "--val-share", 0.3), "--val-share", "0.3"),
        (("--val", "val.json", "--seed", 0), "--seed", "0"),
        (("--allow-overlap",), "--allow-overlap", "True"),
    ],
)
def test_options_without_effect_are_refused(tmp_path, capsys, options, option, found):
    status, _, err = command(capsys, small(tmp_path / "export"), "--output", tmp_path / "made", *options)
    assert status == 2
    assert f"{option}: " in err
    assert found in err
    assert not (tmp_path / "made").exists()


def test_the_export_is_not_replaced(tmp_path):
    export = small(tmp_path / "export").rename(tmp_path / "export/train.json")
    before = export.read_text()
    with pytest.raises(ConfigError, match="--output: expected another folder"):
        prepare_export(export, tmp_path / "export")
    assert export.read_text() == before


def test_another_data_set_is_not_replaced(tmp_path, capsys):
    export, made = small(tmp_path / "export"), tmp_path / "made"
    prepare_export(export, made)
    before = {path: path.read_text() for path in made.iterdir()}
    prepare_export(export, made)  # the same command again
    assert {path: path.read_text() for path in made.iterdir()} == before
    status, out, err = command(capsys, export, "--output", made, "--val-share", 0.5, "--seed", 7)
    assert (status, out) == (2, "")
    assert "error: --output: " in err
    assert "--overwrite" in err
    assert {path: path.read_text() for path in made.iterdir()} == before
    assert command(capsys, export, "--output", made, "--val-share", 0.5, "--seed", 7, "--overwrite")[0] == 0
    assert {path: path.read_text() for path in made.iterdir()} != before


def test_an_export_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"export: expected an annotation file, found .*{tmp_path}/no/result.json"):
        prepare_export(tmp_path / "no/result.json", tmp_path / "made")
