"""Define the mutation tests of labelled images, class names, and recorded class counts."""

import json
from pathlib import Path

import numpy as np

from seesaw_d2.data.classification import sources
from seesaw_d2.losses.recorded_counts import read_recorded_counts
from tests.robustness.mutation.formats import Format
from tests.robustness.mutation.mutators import JSON, TEXT, any_of, in_records, mutate_bytes

NAMES = ("a", "b", "c d", "10", "é")


def _write(folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "images/x.jpg").touch()
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    (folder / "list.txt").write_text("".join(f"n{index}/{index}.JPEG {index % 5}\n" for index in range(12)))
    rows = [f'"x, {index}.jpg",{NAMES[index % 5]},{index}' for index in range(12)]
    (folder / "table.csv").write_text("\n".join(["path,label,other", *rows]) + "\n")
    data = {
        "categories": [{"id": index, "name": name, "supercategory": "x"} for index, name in enumerate(NAMES)],
        "images": [{"id": index, "file_name": f"{index}.jpg", "width": 4, "height": 4} for index in range(6)],
        "annotations": [{"id": index, "image_id": index, "category_id": index % 5} for index in range(5)],
    }
    (folder / "inaturalist.json").write_text(json.dumps(data))
    np.savez(folder / "arrays.npz", images=np.zeros((5, 4, 4), np.uint8), labels=np.arange(5), names=NAMES)


def _read(source: str, name: str, **options) -> callable:
    def read(folder: Path) -> None:
        value = {"NAME": f"mutated_{source}", source: str(folder / name), **options}
        for key, file in (("IMAGES", "images"), ("CLASSES", "names.txt")):
            if key in sources.SOURCES[source].needed:
                value[key] = str(folder / file)
        sources._read.cache_clear()  # the cache identifies files by size and time
        records = sources.parse_labelled_images(value, "DATASETS.REGISTER[0]").load()
        assert all(0 <= record["annotations"][0]["category_id"] < 2**20 for record in records)
        assert all(Path(record.get("file_name") or folder).is_relative_to(folder) for record in records)

    return read


def _write_counts(folder: Path) -> None:
    content = {"class_counts": [[5, 3, 0, 9], [1, 2, 3, 4]], "categories": ["a", "b", "c"], "source": "x"}
    (folder / "counts.json").write_text(json.dumps(content))


def _read_counts(folder: Path) -> None:
    counts = read_recorded_counts(str(folder / "counts.json")).of_stage(1, 2, 3)
    assert all(type(count) is int and count >= 0 for count in counts)


RECORDS = any_of(mutate_bytes, in_records("npy", mutate_bytes))
FORMATS = [
    Format("image_list", _write, _read("LIST", "list.txt"), {"list.txt": TEXT, "names.txt": TEXT}),
    Format("table", _write, _read("CSV", "table.csv"), {"table.csv": TEXT, "names.txt": TEXT}),
    Format("inaturalist", _write, _read("INATURALIST", "inaturalist.json"), {"inaturalist.json": JSON}),
    Format("arrays", _write, _read("NPZ", "arrays.npz"), {"arrays.npz": RECORDS}),
    Format("class_counts", _write_counts, _read_counts, {"counts.json": JSON}),
]
