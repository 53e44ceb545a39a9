"""Test functions over all records with a list, with a cached file, and with several of them together."""

import detectron2.data.build
import numpy as np
import pytest
import torch

from seesaw_d2.data import (
    CategoryStatistics,
    ClassAwareSampler,
    load_training_dicts,
    read_annotations,
    register_datasets,
)
from seesaw_d2.data.images.image_files import missing_files, without_missing_images
from seesaw_d2.data.records import records as columns
from seesaw_d2.data.records.cache.lazy_dicts import CompiledRecords
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.data.records.concatenated_records import Joined
from seesaw_d2.data.records.records import (
    file_names,
    files_with_sizes,
    image_column,
    images_of_categories,
    object_columns,
    take,
)
from seesaw_d2.data.records.training_records import check_trainable, with_objects
from seesaw_d2.data.sampling.analysis import analyze_sampling
from seesaw_d2.data.sampling.batch_composition import aspect_groups
from seesaw_d2.data.sampling.repeat_factors import image_repeat_factors
from seesaw_d2.data.sampling.train_loader import digest_of, labels_digest
from seesaw_d2.errors import DataError, SeesawError
from tests.data.toy import entry, everything, make_cfg, toy_data, write, write_images

pytestmark = pytest.mark.usefixtures("cache")


def uneven() -> dict:
    """Return uneven data: both image shapes, an image without objects, an image with only crowds, scattered objects."""
    data = everything()
    data["images"] += [{"id": 5, "file_name": "e.jpg", "height": 60, "width": 40}]
    data["images"] += [{"id": 99, "file_name": "é/ü.jpg", "height": 40, "width": 40}]
    for item in data["annotations"]:
        if item["image_id"] == 13:
            item["iscrowd"] = 1
    data["annotations"].sort(key=lambda item: (item["id"] * 7) % 11)
    return data


def boxes_alone() -> dict:
    data = uneven()
    for item in data["annotations"]:
        del item["segmentation"]
    return data


FILES = {
    "uneven": uneven,
    "boxes alone": boxes_alone,
    "crowds alone": lambda: {**toy_data(), "annotations": [{**a, "iscrowd": 1} for a in toy_data()["annotations"]]},
    "no objects": lambda: {**toy_data(), "annotations": []},
    "test set": lambda: {key: value for key, value in toy_data().items() if key != "annotations"},
}


@pytest.fixture(params=FILES.values(), ids=FILES)
def kinds(request, tmp_path):
    """Return pairs of a list of records and of another representation of the same records."""
    path = write(tmp_path, request.param())
    listed, compiled = (read(path).to_dataset_dicts("root") for read in (read_annotations, open_annotations))
    assert isinstance(compiled, CompiledRecords)
    chosen = [0, 2, len(listed) + 1, len(listed) + 3]
    return [
        (listed, compiled),
        (take(listed, [1, 3]), take(compiled, [1, 3])),
        (listed + listed, Joined([compiled, compiled])),
        (listed + listed, Joined([listed, compiled])),
        (take(listed + listed, chosen), take(Joined([compiled, listed]), chosen)),
        (take(listed + listed, chosen[::-1]), take(Joined([compiled, compiled]), chosen[::-1])),
        ([], take(Joined([compiled, listed]), [])),
    ]


def outcome(function, *args):
    """Return the result of a function, or its error message."""
    try:
        return function(*args)
    except SeesawError as error:
        return str(error)


def check_bitmasks(records):
    return check_trainable(make_cfg(INPUT__MASK_FORMAT="bitmask"), "toy", records)


def factors(records):
    return image_repeat_factors(records, 2.0) if records else None


def class_aware(records):
    return ClassAwareSampler(records, seed=1).epoch(0)


FUNCTIONS = {
    "objects": lambda records: [np.concatenate(each) for each in zip(*object_columns(records), strict=True)],
    "pairs": lambda records: images_of_categories(records, crowds=True),
    "pairs without crowds": lambda records: images_of_categories(records, crowds=False),
    "names": lambda records: list(file_names(records)),
    "sizes": lambda records: list(files_with_sizes(records)),
    "ids": lambda records: image_column(records, "image_id").tolist(),
    "digest": digest_of,
    "labels": labels_digest,
    "groups": lambda records: aspect_groups(records).tolist(),
    "kept": lambda records: list(with_objects(records)),
    "masks": lambda records: outcome(check_trainable, make_cfg(), "toy", records) if records else None,
    "bitmasks": lambda records: outcome(check_bitmasks, records) if records else None,
    "statistics": lambda records: vars(CategoryStatistics.from_dataset_dicts(records, 2)),
    "factors": factors,
    "class-aware": lambda records: outcome(class_aware, records),
    "analysis": lambda records: analyze_sampling(records, 2, repeat_threshold=2.0).epoch_instances if records else None,
    "missing": missing_files,
}


@pytest.mark.parametrize("stretch", [1, 2, 50_000])
def test_the_same_is_found(kinds, monkeypatch, stretch):
    monkeypatch.setattr(columns, "STRETCH", stretch)
    for listed, other in kinds:
        for name, function in FUNCTIONS.items():
            if name == "kept" and listed and "annotations" not in listed[0]:
                continue  # invalid earlier, because Detectron2's filter raises a KeyError
            with monkeypatch.context() as patch:
                patch.setattr(columns, "STRETCH", 50_000)
                expected = function(listed)
            np.testing.assert_equal(_plain(function(other)), _plain(expected), err_msg=name)


def _plain(value):
    return value.tolist() if isinstance(value, torch.Tensor) else value


def test_what_is_found_is_right(tmp_path):
    """Compare with results by hand: two images with objects, one image with only crowds, two empty images."""
    compiled = open_annotations(write(tmp_path, uneven())).to_dataset_dicts("root")
    assert image_column(compiled, "image_id").tolist() == [5, 10, 11, 12, 13, 99]
    assert [record["image_id"] for record in with_objects(compiled)] == [10, 11, 12]
    assert aspect_groups(compiled).tolist() == [0, 1, 1, 1, 1, 0]
    assert list(file_names(compiled))[-1] == "root/é/ü.jpg"
    message = outcome(check_trainable, make_cfg(), "toy", compiled)
    assert "2 objects have no segmentation (image ids 12)" in message


def test_an_image_without_a_size_is_named_with_the_key():
    with pytest.raises(DataError, match=r"DATALOADER\.ASPECT_RATIO_GROUPING .*height"):
        aspect_groups([{"width": 3, "height": 4}, {"width": 3}])


def test_the_table_of_instances_is_the_same(tmp_path, monkeypatch):
    printed = []
    monkeypatch.setattr(detectron2.data.build, "log_first_n", lambda level, message, **options: printed.append(message))
    data = uneven()
    data["categories"].append({"id": 9, "name": "of no object"})
    path = write(tmp_path, data)
    images = tmp_path / "images"
    (images / "é").mkdir(parents=True)
    write_images(images, data)
    name = f"columns_{tmp_path.name}"
    cfg = make_cfg(entry(name, path, images), train=[name], MODEL__MASK_ON=False, MODEL__ROI_HEADS__NUM_CLASSES=3)
    register_datasets(cfg)
    assert isinstance(load_training_dicts(cfg), CompiledRecords)
    monkeypatch.setattr("seesaw_d2.data.records.cache.store.MIN_SIZE", 10**9)
    assert isinstance(load_training_dicts(cfg), list)
    assert len(printed) == 2
    assert printed[0] == printed[1]
    assert "of no object" in printed[0]


def test_names_with_odd_bytes_and_slashes(tmp_path):
    """Test a file name that is not UTF-8, as Python's json writes it, and a missing file with "//" in its name."""
    data = toy_data(2)
    data["images"][0]["file_name"], data["images"][1]["file_name"] = "\udce9.jpg", "a//b.jpg"
    path = write(tmp_path, data)
    listed, compiled = (read(path).to_dataset_dicts(str(tmp_path)) for read in (read_annotations, open_annotations))
    assert list(compiled) == listed
    assert digest_of(listed) == digest_of(compiled)
    write_images(tmp_path, {"images": data["images"][:1]})
    for records in (listed, compiled):
        assert missing_files(records) == [f"{tmp_path}/a//b.jpg"]
        left = without_missing_images(records, ["toy"], skip=True)
        assert [record["image_id"] for record in left] == [10]
