import json
import logging
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from seesaw_d2.data import (
    CategoryStatistics,
    frequency_groups,
    register_datasets,
    training_frequency_groups,
    training_statistics,
)
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import entry, make_cfg, toy_data, write
from tests.shared import shared_path


def record(*categories, crowd=()):
    return {"annotations": [{"category_id": c, "iscrowd": int(c in crowd)} for c in categories]}


def test_counts():
    dicts = [record(0, 0, 2), record(2), record(), record(1, crowd=(1,)), {}]
    statistics = CategoryStatistics.from_dataset_dicts(dicts, 4)
    assert (statistics.num_images, statistics.num_annotated_images) == (5, 2)
    assert statistics.image_count.tolist() == [1, 0, 2, 0]
    assert statistics.instance_count.tolist() == [2, 0, 2, 0]
    assert statistics.image_count.dtype == statistics.instance_count.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        statistics.image_count[0] = 3


def test_no_objects():
    statistics = CategoryStatistics.from_dataset_dicts([record()], 3)
    assert statistics.instance_count.tolist() == [0, 0, 0]


def test_index_out_of_range():
    with pytest.raises(DataError, match=r"from 0 to 1, found 2"):
        CategoryStatistics.from_dataset_dicts([record(0, 2)], 2)


def test_groups():
    assert frequency_groups([0, 1, 10, 11, 100, 101]).tolist() == [0, 0, 0, 1, 1, 2]
    assert frequency_groups([1, 2, 3, 4], [1, 3]).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize("thresholds", [(10,), (10, 10), (0, 5), (100, 10), (1.5, 3), ()])
def test_thresholds(thresholds):
    with pytest.raises(ConfigError, match=r"DATASETS\.FREQUENCY_THRESHOLDS"):
        frequency_groups([1, 2], thresholds)


def test_groups_of_lvis_v1():
    categories = json.loads(shared_path("data/lvis_v1_train_category_counts.json").read_text())
    categories = categories if isinstance(categories, list) else categories["categories"]
    groups = frequency_groups([item["image_count"] for item in categories])
    assert [("r", "c", "f")[group] for group in groups] == [item["frequency"] for item in categories]


def test_counts_of_real_data():
    root = shared_path("data/coco38")
    cfg = make_cfg(entry("coco38_counts", root / "lvis_train.json", root / "images"), train=["coco38_counts"])
    register_datasets(cfg)
    statistics = training_statistics(cfg)
    categories = json.loads((root / "lvis_train.json").read_text())["categories"]
    assert list(statistics.names) == [item["name"] for item in categories]
    assert statistics.image_count.tolist() == [item["image_count"] for item in categories]
    assert statistics.instance_count.tolist() == [item["instance_count"] for item in categories]
    groups = frequency_groups(statistics.image_count)
    assert ["rcf"[group] for group in groups] == [item["frequency"] for item in categories]
    assert training_statistics(cfg) is statistics


def test_all_training_sets_together(tmp_path):
    entries = [entry(f"toy_sum_{n}", write(tmp_path, toy_data(n), f"{n}.json"), tmp_path) for n in (2, 3)]
    cfg = make_cfg(*entries, train=["toy_sum_2", "toy_sum_3"])
    register_datasets(cfg)
    statistics = training_statistics(cfg)
    assert (statistics.num_images, statistics.instance_count.tolist()) == (5, [7, 5])


def test_unknown_or_no_training_set():
    with pytest.raises(ConfigError, match=r"DATASETS\.TRAIN: .*Did you mean .*lvis_v1_train"):
        training_statistics(make_cfg(train=["lvis_v1_trian"]))
    with pytest.raises(ConfigError, match=r"DATASETS\.TRAIN: expected at least one"):
        training_statistics(make_cfg())


@pytest.fixture
def own_data():
    """Register a dataset by a function, without a file and without category names."""
    DatasetCatalog.register("own_without_names", lambda: [record(0, 1), record(1)])
    yield "own_without_names"
    DatasetCatalog.remove("own_without_names")


def test_groups_of_training_data(own_data, caplog):
    cfg = make_cfg(train=[own_data])
    assert training_frequency_groups(cfg).tolist() == [0, 0]
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [1, 2]
    assert training_frequency_groups(cfg).tolist() == [0, 1]
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert training_frequency_groups(cfg, num_classes=3) is None
    assert len(re.findall(r"DATASETS\.TRAIN .* 3 categories", caplog.text)) == 1
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [2, 1]
    with pytest.raises(ConfigError, match="FREQUENCY_THRESHOLDS"):
        training_frequency_groups(cfg)


@pytest.mark.parametrize("train", [(), ("coco_2017_train",), ("nowhere",)])
def test_groups_of_data_that_cannot_be_read(train, caplog):
    """Test that unreadable data only disables accuracies by group, because users can have their own loader."""
    with caplog.at_level(logging.INFO):
        assert training_frequency_groups(make_cfg(train=train, MODEL__ROI_HEADS__NUM_CLASSES=80)) is None
    assert "accuracies of rare, common and frequent categories" in caplog.text
