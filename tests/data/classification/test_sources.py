"""Test datasets of labelled images: every source gives the same records, and mistakes raise errors."""

import json
import pickle
import shutil

import numpy as np
import pytest

from seesaw_d2.data.classification.labelled import LabelledSet, long_tailed
from seesaw_d2.data.classification.sources import parse_labelled_images
from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils import messages
from tests.data.classification.cifar_files import write_cifar

FILES = ["cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png", "emu/0.png"]
LABELS = [0, 0, 0, 1, 1, 2]
NAMES = ["cat", "dog", "emu"]


def entry(**keys):
    return parse_labelled_images({"NAME": "x", **{k: str(v) if k != "CLASSES" else v for k, v in keys.items()}}, "R[0]")


def labels(records):
    return [record["annotations"][0]["category_id"] for record in records]


def write_list(tmp_path, images, rows=None):
    path = tmp_path / "list.txt"
    rows = [f"{f} {i}" for f, i in zip(FILES, LABELS, strict=True)] if rows is None else rows
    path.write_text("\n".join(rows) + "\n")
    return {"LIST": path, "IMAGES": images, "CLASSES": 3}


def write_table(tmp_path, images):
    path = tmp_path / "table.csv"
    path.write_text("label,path\n" + "\n".join(f"{NAMES[i]},{f}" for f, i in zip(FILES, LABELS, strict=True)))
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    return {"CSV": path, "IMAGES": images, "CLASSES": str(tmp_path / "names.txt")}


def write_inaturalist(tmp_path, images):
    content = {
        "images": [{"id": 10 + i, "file_name": f} for i, f in enumerate(FILES)],
        "annotations": [{"image_id": 10 + i, "category_id": 5 * c} for i, c in enumerate(LABELS)],
        "categories": [{"id": 5 * i, "name": name} for i, name in enumerate(NAMES)],
    }
    path = tmp_path / "train2018.json"
    path.write_text(json.dumps(content))
    return {"INATURALIST": path, "IMAGES": images}


@pytest.mark.parametrize("source", [write_list, write_table, write_inaturalist, lambda t, i: {"FOLDER": i}])
def test_every_source_gives_the_same(tmp_path, images, source):
    found = entry(**source(tmp_path, images))
    records = found.load()
    assert [record["file_name"] for record in records] == [str(images / name) for name in FILES]
    assert labels(records) == LABELS
    assert found.class_names() == (["0", "1", "2"] if source is write_list else NAMES)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["cat/0.png 0", "cat/1.png 3"], r"line 2: expected .* in \[0, 2\], found '3'"),
        (["cat/0.png -1"], r"line 1: expected .* in \[0, 2\], found '-1'"),
        (["cat/0.png one"], "line 1: .* found 'one'"),
        (["cat/0.png"], "line 1: expected a path and a label"),
        (["../secret.png 0"], "line 1: .*found .*secret"),
    ],
)
def test_wrong_lines_are_named(tmp_path, images, rows, message):
    with pytest.raises(DataError, match=message):
        entry(**write_list(tmp_path, images, rows)).load()


@pytest.mark.parametrize("source", ["LIST", "CSV", "INATURALIST"])
def test_repeated_entries_count_once(tmp_path, images, source, caplog, monkeypatch):
    monkeypatch.setattr(messages, "_already_logged", set())
    rows = [
        ("cat/0.png", "cat"),
        ("dog/0.png", "dog"),
        ("cat/0.png", "cat"),
        ("./cat//0.png", "cat"),
        ("cat/1.png", "cat"),
    ]
    rows += [("dog/1.png", "dog"), ("dog/1.png", "cat"), ("dog/1.png", "cat")]
    value = write_list(tmp_path, images, [f"{file} {NAMES.index(name)}" for file, name in rows])
    if source == "CSV":
        value = write_table(tmp_path, images)
        value["CSV"].write_text("path,label\n" + "\n".join(map(",".join, rows)))
    if source == "INATURALIST":
        value = write_inaturalist(tmp_path, images)
        content = json.loads(value[source].read_text())
        content["images"] = [{"id": i, "file_name": file} for i, (file, _) in enumerate(rows)]
        content["annotations"] = [
            {"image_id": i, "category_id": 5 * NAMES.index(name)} for i, (_, name) in enumerate(rows)
        ]
        value[source].write_text(json.dumps(content))
    records = entry(**value).load()
    assert [r["file_name"] for r in records] == [
        f"{images}/{file}.png" for file in ("cat/0", "dog/0", "cat/1", *["dog/1"] * 2)
    ]
    assert labels(records) == [0, 1, 0, 1, 0]
    (repeated,) = [text for text in caplog.messages if "3 entries" in text]
    assert str(value[source]) in repeated
    assert "cat/0.png" in repeated
    assert any("dog/1.png" in text for text in caplog.messages if text != repeated)


def test_splits_instead_of_given_classes(images, tmp_path):
    images.rename(tmp_path / "train")
    shutil.copytree(tmp_path / "train", tmp_path / "set/valid")
    (tmp_path / "train").rename(tmp_path / "set/train")
    (tmp_path / "names.txt").write_text("cat\ndog\nemu\n")
    with pytest.raises(DataError, match=r"set: .*train, valid\. Set FOLDER to .*set/train"):
        entry(FOLDER=tmp_path / "set", CLASSES=str(tmp_path / "names.txt")).load()
    assert len(entry(FOLDER=tmp_path / "set/train", CLASSES=str(tmp_path / "names.txt")).load()) == 6


def test_folders_that_are_no_class(images, tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"2 classes, found .*emu"):
        entry(FOLDER=images, CLASSES=str(tmp_path / "names.txt")).load()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"LIST": "nowhere.txt", "IMAGES": ".", "CLASSES": 3}, r"R\[0\]\.LIST: .*nowhere\.txt"),
        ({"LIST": "setup.py", "IMAGES": "."}, r"R\[0\]: .*CLASSES"),
        ({"LIST": "setup.py", "IMAGES": ".", "CLASSES": 0}, "CLASSES"),
        ({"FOLDER": ".", "IMBALANSE": 10}, r"IMBALANSE: .*Did you mean IMBALANCE\?"),
        ({"DIGITS": "val"}, "DIGITS: .*found 'val'"),
        ({"DIGITS": "train", "IMBALANCE": 0.5}, "IMBALANCE: expected a number >= 1, found 0.5"),
        ({"DIGITS": "train", "FOLDER": "."}, "R.0.: .*LIST, .* found FOLDER, DIGITS"),
    ],
)
def test_wrong_entries_are_named(value, message):
    with pytest.raises(ConfigError, match=message):
        parse_labelled_images({"NAME": "x", **value}, "R[0]")


def test_cifar(tmp_path):
    folder = tmp_path / "cifar"
    data = write_cifar(folder)
    found = entry(CIFAR=folder, SPLIT="train")
    records = found.load()
    assert len(records) == 100
    assert found.class_names() == list("abcdefghij")
    assert (records[1]["array"] == data[1].reshape(3, 32, 32).transpose(1, 2, 0)).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"labels": [0.5] * 20}, "0 to 9"),
        ({"labels": ["1"] * 20}, "0 to 9"),
        ({"labels": [10] * 20}, "0 to 9"),
        ({"labels": [-1] * 20}, "0 to 9"),
        ({"labels": [1] * 19}, "20"),
        ({"data": np.full((20, 3072), 256)}, "0 to 255"),
        ({"data": np.full((20, 3072), 0.5)}, "0 to 255"),
    ],
)
def test_cifar_holds_integers(tmp_path, change, text):
    folder = tmp_path / "cifar"
    data = write_cifar(folder)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": data, "labels": [0] * 20, **change}))
    with pytest.raises(DataError) as error:
        entry(CIFAR=folder, SPLIT="test").load()
    assert all(part in str(error.value) for part in ("test_batch", text))


def test_a_folder_of_both_cifars_or_of_other_names_is_refused(tmp_path):
    folder = tmp_path / "cifar"
    write_cifar(folder)
    (folder / "meta").write_bytes(b"")
    with pytest.raises(DataError, match=r"cifar: .*batches\.meta"):
        entry(CIFAR=folder, SPLIT="test").load()
    (folder / "meta").unlink()
    (folder / "batches.meta").rename(folder / "batches.META")
    with pytest.raises(DataError, match=r"cifar: .*batches\.META"):
        entry(CIFAR=folder, SPLIT="test").load()
    (folder / "batches.META").rename(folder / "batches.meta")
    (folder / "test_batch").rename(folder / "Test_Batch.pkl")
    with pytest.raises(DataError, match=r"test_batch: .*Test_Batch\.pkl"):
        entry(CIFAR=folder, SPLIT="test").load()


def test_a_list_of_nearly_this_name_is_named(tmp_path, images):
    write_list(tmp_path, images)
    with pytest.raises(ConfigError, match=r"R\[0\]\.LIST: .*List\.TXT.*list\.txt"):
        entry(LIST=tmp_path / "List.TXT", IMAGES=images, CLASSES=3)


def test_images_of_nearly_the_listed_names_are_named(tmp_path, images):
    keys = write_list(tmp_path, images, ["Cat/0.png 0", "dog/0.jpg 1", "emu/0.png 2"])
    with pytest.raises(DataError) as error:
        without_missing_images(entry(**keys).load(), ["x"], skip=False)
    assert all(part in str(error.value) for part in ("Cat/0.png", "cat/0.png", "dog/0.jpg", "dog/0.png"))


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    folder = tmp_path / "cifar"
    write_cifar(folder)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": print}))
    with pytest.raises(DataError, match=r"test_batch: .*builtins\.print"):
        entry(CIFAR=folder, SPLIT="test").load()


def test_long_tailed_digits():
    pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
    value = {"NAME": "x", "DIGITS": "train", "IMBALANCE": 50}
    counts = np.bincount(labels(parse_labelled_images(value, "").load()))
    whole = parse_labelled_images({**value, "IMBALANCE": 1}, "").load()
    largest = np.bincount(labels(whole)).max()
    assert counts.tolist() == [min(128, largest), *(int(largest * 50 ** (-i / 9)) for i in range(1, 10))]
    test = parse_labelled_images({"NAME": "y", "DIGITS": "test"}, "").load()
    assert np.bincount(labels(test)).tolist() == [50] * 10
    assert len(test) + len(whole) == 1797
    again = [parse_labelled_images({**value, "SEED": seed}, "").load() for seed in (0, 0, 1)]
    a, b, c = ([record["array"].tobytes() for record in records] for records in again)
    assert a == b != c


@pytest.mark.parametrize(
    ("classes", "imbalance", "total", "first", "last"),
    [
        (10, 100, 12406, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50], 50),
        (10, 10, 20431, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500], 500),
        (100, 100, 10847, [500, 477, 455, 434, 415], 5),
        (100, 10, 19573, [500, 488, 477, 466, 455], 50),
    ],
)
def test_long_tailed_cifar_has_the_published_counts(classes, imbalance, total, first, last):
    """Compare class counts with the counts that LDAM's reference computes (kaidic/LDAM-DRW, imbalance_cifar.py)."""
    labels = np.tile(np.arange(classes), 50_000 // classes)
    whole = LabelledSet(labels, tuple(map(str, range(classes))), arrays=np.zeros((50_000, 1, 1, 3), np.uint8))
    counts = np.bincount(long_tailed(whole, imbalance, 0).labels)
    assert counts[: len(first)].tolist() == first
    assert (counts[-1], counts.sum()) == (last, total)
