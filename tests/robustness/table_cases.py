"""Define broken lists, tables and folders of labelled images, recorded class counts, and precomputed proposals."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seesaw_d2.data.classification.sources import parse_labelled_images
from seesaw_d2.data.records.catalog import load_dataset
from seesaw_d2.data.records.proposals import load_proposals
from seesaw_d2.data.records.registration import register_dataset
from seesaw_d2.losses.recorded_counts import read_recorded_counts
from tests.robustness.corpus import Case, cases, raw, touching


def labelled(source: str, name: str, content: bytes | str | None, **options: Any) -> Callable[[Path], tuple]:
    """Return an entry of DATASETS.REGISTER whose source is a file with the given content."""

    def make(folder: Path) -> tuple:
        (folder / "images").mkdir()
        if content is not None:
            raw(name, content)(folder)
        value = {
            "NAME": str(folder),
            source: str(folder / name),
            "IMAGES": str(folder / "images"),
            "CLASSES": 3,
            **options,
        }
        if source in ("INATURALIST", "CIFAR"):
            del value["CLASSES"]
        if source == "CIFAR":
            del value["IMAGES"]
        return "labelled", value

    return make


def listed(content: bytes | str, **options: Any):
    return labelled("LIST", "list.txt", content, **options)


def table(content: bytes | str):
    return labelled("CSV", "table.csv", content)


def inaturalist(content: Any):
    return labelled("INATURALIST", "i.json", json.dumps(content))


def cifar(batch: Any) -> Callable[[Path], tuple]:
    def make(folder: Path) -> tuple:
        (folder / "cifar").mkdir()
        content = batch(folder) if callable(batch) else batch
        (folder / "cifar/test_batch").write_bytes(pickle.dumps(content))
        (folder / "cifar/batches.meta").write_bytes(pickle.dumps({"label_names": ["a", "b"]}))
        return labelled("CIFAR", "cifar", None, SPLIT="test")(folder)

    return make


def piped(folder: Path) -> tuple:
    given = labelled("LIST", "list.txt", None)(folder)
    os.mkfifo(folder / "list.txt")
    return given


def classes(content: str):
    def make(folder: Path) -> tuple:
        return listed("a.jpg 0", CLASSES=raw("classes.txt", content)(folder))(folder)

    return make


def counts(content: bytes | str | Callable[[Path], None]) -> Callable[[Path], tuple]:
    return lambda folder: ("counts", raw("counts.json", content)(folder))


def proposals(content: Any) -> Callable[[Path], tuple]:
    def make(folder: Path) -> tuple:
        value = content(folder) if callable(content) else content
        data = value if isinstance(value, bytes) else pickle.dumps(value)
        return "proposals", raw("proposals.pkl", data)(folder)

    return make


def read(given: tuple[str, Any]) -> None:
    kind, value = given
    if kind == "labelled":
        entry = parse_labelled_images(value, "DATASETS.REGISTER[0]")
        register_dataset(entry)
        records = load_dataset(entry.name)
        assert all(0 <= record["annotations"][0]["category_id"] < 3 for record in records)
        folder = str(value.get("IMAGES"))
        assert all(os.path.abspath(record["file_name"]).startswith(folder) for record in records)
    elif kind == "counts":
        assert all(np.isfinite(stage).all() for stage in read_recorded_counts(value).stages)
    else:
        records = load_proposals([{"image_id": 1}], value)
        assert np.isfinite(records[0]["proposal_boxes"]).all()


RIGHT = {"ids": [1], "boxes": [np.ones((2, 4), np.float32)], "objectness_logits": [np.ones(2, np.float32)]}
OUTSIDE = r"line 1: expected .*/images, found"

CASES: list[Case] = cases(
    "table",
    {
        "list, right": (listed("a.jpg 0\nb c.jpg 2\n\n"), None),
        "list with Windows' line ends": (listed("a.jpg 0\r\nb.jpg 2\r\n"), None),
        "list without labels": (listed("a.jpg\n"), r"list\.txt, line 1: expected a path and a label"),
        "list with a label too large": (
            listed("a.jpg 3"),
            r"list\.txt, line 1: expected .* in \[0, 2\], found '3'",
        ),
        "list with a negative label": (listed("a.jpg -1"), r"line 1: expected .* in \[0, 2\], found '-1'"),
        "list with a label of 5,000 digits": (listed("a.jpg " + "9" * 5000), r"line 1: expected .* in \[0, 2\]"),
        "list with a label in other digits": (listed("a.jpg ٢"), r"line 1: expected a class index"),
        "list with a parent folder": (listed("../a.jpg 0"), OUTSIDE),
        "list with an absolute path": (listed("/etc/passwd 0"), OUTSIDE),
        "list that is binary": (listed(b"\xff\xfe\0\0"), r"list\.txt: .*byte offset 0"),
        "list that is a pipe": (piped, r"\.LIST: .*found a pipe at .*list\.txt"),
        "CSV, right": (table("path,label\na.jpg,0\n"), None),
        "CSV without a header": (table("a.jpg,0\n"), r"table\.csv: expected a header .*path, label"),
        "CSV, empty": (table(""), r"table\.csv: expected a header"),
        "CSV with zero bytes": (table("path,label\na\0.jpg,0\n"), r"table\.csv"),
        "CSV with a field of 200,000 letters": (table(f'path,label\n"{"x" * 200_000}",0\n'), r"table\.csv"),
        "CSV with an open quote": (table('path,label\n"a.jpg,0\nb.jpg,1\n'), r"table\.csv, line \d: expected"),
        "CSV with too few fields": (table("path,label\na.jpg\n"), r"table\.csv, line 2: expected 2 fields.*found 1"),
        "classes twice": (classes("a\nb\na\n"), r"classes\.txt: expected unique class names, .* a$"),
        "classes, none": (classes("\n"), r"classes\.txt: .*found an empty file"),
        "classes, 10^12": (listed("a.jpg 0", CLASSES=10**12), r"DATASETS\.REGISTER\[0\]\.CLASSES: expected"),
        "imbalance nan": (listed("a.jpg 0", IMBALANCE=float("nan")), r"REGISTER\[0\]\.IMBALANCE: expected a number"),
        "imbalance of an empty list": (listed("", IMBALANCE=10.0), r"dataset .* at least one image"),
        "iNaturalist, a list": (inaturalist([]), r"i\.json: .*found a list"),
        "iNaturalist, no images": (
            inaturalist({"categories": [], "annotations": []}),
            r"i\.json: .*KeyError: 'images'",
        ),
        "iNaturalist with names that are numbers": (
            inaturalist(
                {
                    "categories": [{"id": 1, "name": "a"}],
                    "images": [{"id": 1, "file_name": 7}],
                    "annotations": [{"image_id": 1, "category_id": 1}],
                }
            ),
            r"i\.json, annotation 1: .*found 7",
        ),
        "CIFAR with code": (cifar(lambda folder: {"data": touching(folder)}), r"test_batch: .*posix\.system"),
        "CIFAR of other sizes": (cifar({"data": np.zeros((2, 5), np.uint8), "labels": [0, 1]}), r"test_batch"),
        "CIFAR without labels": (cifar({"data": np.zeros((2, 3072), np.uint8)}), r"test_batch: expected .*'labels'"),
        "CIFAR with fewer labels": (cifar({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}), r"test_batch"),
        "CIFAR with labels too large": (
            cifar({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 9]}),
            r"test_batch",
        ),
    },
) + cases(
    "counts and proposals",
    {
        "counts, right": (counts('{"class_counts": [1, 2]}'), None),
        "counts of nan": (counts('{"class_counts": [NaN]}'), r"counts\.json: .*NaN"),
        "counts twice": (
            counts('{"class_counts": [1], "class_counts": [2]}'),
            r'counts\.json: .*"class_counts" 2 times',
        ),
        "counts beyond 64 bits": (
            counts('{"class_counts": [18446744073709551616]}'),
            r"counts\.json: .*\[1\.8446744073709552e\+19\]",
        ),
        "counts, 100,000 brackets": (counts("[" * 100_000), r"counts\.json: .*JSON"),
        "counts, not UTF-8": (counts(b"\xff"), r"counts\.json: .*JSON"),
        "counts, a pipe": (counts(os.mkfifo), r"counts\.json: .*a pipe"),
        "proposals, right": (proposals(RIGHT), None),
        "proposals with code": (proposals(touching), r"proposals\.pkl: .*posix\.system"),
        "proposals, torn": (proposals(pickle.dumps(RIGHT)[:-30]), r"proposals\.pkl: .*objectness_logits"),
        "proposals of another layout": (proposals({"ids": [1]}), r"proposals\.pkl: .*objectness_logits"),
        "proposals, a pipe": (
            lambda folder: ("proposals", raw("proposals.pkl", os.mkfifo)(folder)),
            r"proposals\.pkl: .*no such file",
        ),
    },
)
