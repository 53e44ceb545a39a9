"""Define the mutation tests of annotation files: LVIS, COCO, exports, MUSCIMA++, and the cache."""

import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from seesaw_d2.data import read_annotations
from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.data.muscima import TileSettings, prepare_tiles
from seesaw_d2.data.muscima.archive import parse_pages, read_files
from seesaw_d2.data.records.cache import store
from seesaw_d2.evaluation.evaluate import evaluate_file
from seesaw_d2.frequency_groups import GROUP_NAMES
from tests.data.muscima.written import write_source
from tests.data.toy import everything, toy_data, write, write_images
from tests.robustness import json_cases
from tests.robustness.mutation.formats import Format, out_of
from tests.robustness.mutation.mutators import JSON, TEXT, XML, in_records, mutate_bytes
from tests.robustness.results_cases import BOX


def lvis_data() -> dict[str, Any]:
    """Return the toy data with the fields of LVIS."""
    data = toy_data()
    for image in data["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{image.pop('file_name')}"
        image |= {"neg_category_ids": [7], "not_exhaustive_category_ids": [3]}
    for category in data["categories"]:
        category |= {
            "frequency": GROUP_NAMES[0][0],
            "image_count": 4,
            "instance_count": 5,
            "synset": "a.n.01",
            "def": "a",
        }
    return data


def _annotations(data: Callable[[], dict[str, Any]]) -> Callable[[Path], None]:
    def write_files(folder: Path) -> None:
        write_images(folder / "images", toy_data())
        write_images(folder / "images/val2017", toy_data())  # the last two parts of the image URLs in LVIS
        write(folder, data())
        write(folder, [BOX, {**BOX, "image_id": 11, "category_id": 7}], "results.json")

    return write_files


def _read_annotations(folder: Path) -> None:
    """Read annotations as in training, in evaluation and in the cache."""
    path = str(folder / "toy.json")
    json_cases.read(path)
    evaluate_file(str(folder / "results.json"), read_annotations(path), None)
    store.read_tables(path, "auto")


def _read_everything(folder: Path) -> None:
    """Read annotations as in training with all kinds of masks, and in the cache."""
    path = str(folder / "toy.json")
    file = read_annotations(path)
    assert list(file.to_dataset_dicts("root"))
    evaluate_file(str(folder / "results.json"), file, None)
    store.read_tables(path, "auto")


def _write_compiled(folder: Path) -> None:
    write(folder, everything())
    store._opened.clear()
    os.environ["SEESAW_D2_CACHE"] = str(folder / "cache")
    store.open_annotations(str(folder / "toy.json"))


def _read_compiled(folder: Path) -> None:
    """Read a damaged cache. It is created again, so that the result equals that of the annotation file."""
    store._opened.clear()
    os.environ["SEESAW_D2_CACHE"] = str(folder / "cache")
    path = str(folder / "toy.json")
    expected = read_annotations(path).to_dataset_dicts("root")
    before, store.MIN_SIZE = store.MIN_SIZE, 0
    try:
        found = list(store.open_annotations(path).to_dataset_dicts("root"))
    finally:
        store.MIN_SIZE = before
    assert found == list(expected)


def _write_compiled_small(folder: Path) -> None:
    before, store.MIN_SIZE = store.MIN_SIZE, 0
    try:
        _write_compiled(folder)
    finally:
        store.MIN_SIZE = before


def _export(name: str, file: Callable[[int], str], **item: Any) -> Callable[[Path], None]:
    """Write an export of four images with two objects each."""

    def write_files(folder: Path) -> None:
        (folder / "images").mkdir()
        for number in range(4):
            Image.new("RGB", (60, 40), (number, 0, 0)).save(folder / f"images/{number}.png")
        data = toy_data()
        for number, image in enumerate(data["images"]):
            image["file_name"] = file(number)
        for number, category in enumerate(data["categories"]):
            category["supercategory"] = "things" if name == "roboflow" else ""
            category |= {"id": category["id"], "name": f"{category['name']} {number}"}
        if name == "roboflow":
            data["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
        data["annotations"] = [{**each, **item} for each in data["annotations"]]
        for each in data["annotations"] if name == "label_studio" else ():
            del each["area"]
        write(folder, {"info": {"version": "1"}, "licenses": [], **data}, "export.json")

    return write_files


def _read_export(folder: Path) -> None:
    out = out_of(folder) / "made"
    prepare_export(folder / "export.json", out, images=folder / "images", skip_bad_images=True)
    for name in ("train", "val"):
        json.loads((out / f"{name}.json").read_text())


def _read_muscima(folder: Path) -> None:
    prepare_tiles(folder / "muscima", out_of(folder) / "tiles", TileSettings(tile=64, overlap=16), workers=1)


def _write_muscima(folder: Path) -> None:
    write_source(folder / "muscima")


def _write_archives(folder: Path) -> None:
    source = write_source(folder / "muscima")
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(source))
    for kind in ("", "gz", "xz"):
        with tarfile.open(folder / f"a.tar{kind}", f"w:{kind}") as tar:
            for path in files:
                tar.add(path, path.relative_to(source))


def _read_archives(folder: Path) -> None:
    errors = []
    for name in sorted(os.listdir(folder)):
        if name.startswith("a."):
            try:
                list(parse_pages(read_files(folder / name)))
            except ValueError as error:
                errors.append(error)
    if errors:
        raise errors[0]


FORMATS = [
    Format("coco", _annotations(toy_data), _read_annotations, {"toy.json": JSON}, share=2),
    Format("coco_shapes", _annotations(everything), _read_everything, {"toy.json": JSON}, share=2),
    Format("lvis", _annotations(lvis_data), _read_annotations, {"toy.json": JSON}, share=2),
    Format("label_studio", _export("label_studio", lambda n: f"images\\{n}.png"), _read_export, {"export.json": JSON}),
    Format("cvat", _export("cvat", lambda n: f"{n}.png", iscrowd=0), _read_export, {"export.json": JSON}),
    Format("roboflow", _export("roboflow", lambda n: f"{n}.png", iscrowd=0), _read_export, {"export.json": JSON}),
    Format("muscima", _write_muscima, _read_muscima, {"**/*.xml": XML, "**/*.txt": TEXT}, share=0.5),
    Format(
        "muscima_archive",
        _write_archives,
        _read_archives,
        {"a.zip": in_records("xml", XML), "a.*": mutate_bytes},
        share=0.5,
    ),
    Format(
        "compiled",
        _write_compiled_small,
        _read_compiled,
        {"cache/annotations/*.records": mutate_bytes},
        share=0.5,
        writes_inside=True,
    ),
]
