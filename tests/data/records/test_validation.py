import re

import pytest
from detectron2.data import DatasetCatalog

from seesaw_d2.data import register_datasets, validate_datasets
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import entry, make_cfg, toy_data, write, write_images


@pytest.fixture
def make(tmp_path, request):
    """Return a function that makes a config with the given data as datasets "train" and "val"."""
    images = write_images(tmp_path / "images", toy_data())

    def build(train=None, val=None, **options):
        number = len(list(tmp_path.iterdir()))
        names = [f"{split}_{request.node.name}_{number}" for split in ("train", "val")]
        entries = [
            entry(name, write(tmp_path, data or toy_data(), f"{name}.json"), images)
            for name, data in zip(names, (train, val), strict=True)
        ]
        cfg = make_cfg(*entries, train=names[:1], test=names[1:], **options)
        register_datasets(cfg)
        return cfg

    return build


def test_right(make):
    validate_datasets(make())
    cfg = make()
    cfg.DATASETS.TEST = ()
    validate_datasets(cfg)
    cfg = make()
    cfg.DATASETS.TRAIN = ("not_here",)
    validate_datasets(cfg, training=False)


def test_names(make):
    cfg = make()
    cfg.DATASETS.TEST = ("lvis_v1_vla",)
    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: .*'lvis_v1_vla'.*'lvis_v1_val'"):
        validate_datasets(cfg)
    cfg.DATASETS.TRAIN = ()
    with pytest.raises(ConfigError, match=r"DATASETS\.TRAIN: expected at least one dataset"):
        validate_datasets(cfg)
    cfg.DATASETS.TEST = ()
    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: expected at least one dataset"):
        validate_datasets(cfg, training=False)


def test_number_of_categories(make):
    with pytest.raises(ConfigError, match=r"NUM_CLASSES is 80, .* 2 categories.* Set MODEL\.ROI_HEADS\.NUM_CLASSES 2"):
        validate_datasets(make(MODEL__ROI_HEADS__NUM_CLASSES=80))


def test_categories_of_train_and_test(make):
    data = toy_data()
    data["categories"][0]["name"] = "other"
    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: .*index 1 .*'seven'.*'other'"):
        validate_datasets(make(val=data))
    data["categories"] = data["categories"][1:]
    data["annotations"] = [item for item in data["annotations"] if item["category_id"] == 3]
    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: .* 2 categories.* 1$"):
        validate_datasets(make(val=data))


def test_files(make, tmp_path):
    data = toy_data()
    data["annotations"][0]["category_id"] = 4
    with pytest.raises(DataError, match=r'"categories", found .*4'):
        validate_datasets(make(val=data))
    data = toy_data()
    del data["annotations"]
    validate_datasets(make(val=data))
    with pytest.raises(DataError, match=r"DATASETS\.TRAIN: .*annotations"):
        validate_datasets(make(train=data))
    (tmp_path / "images/3.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 4 image files.*3\.jpg"):
        validate_datasets(make())
    validate_datasets(make(DATALOADER__SKIP_BAD_IMAGES=True))


def test_built_in_data_sets_without_their_files(make):
    cfg = make()
    for name, file in (
        ("lvis_v1_train", "lvis_v1_train.json"),
        ("coco_2017_train", "instances_train2017.json"),
    ):
        cfg.DATASETS.TRAIN = (name,)
        with pytest.raises(DataError, match=rf"'{name}'.*{file}.*DETECTRON2_DATASETS"):
            validate_datasets(cfg)


def test_thresholds(make):
    with pytest.raises(ConfigError, match=r"DATASETS\.FREQUENCY_THRESHOLDS"):
        validate_datasets(make(DATASETS__FREQUENCY_THRESHOLDS=[100, 10]))


def test_image_headers(make, tmp_path):
    cfg = make()
    (tmp_path / "images/3.jpg").write_bytes(b"")
    for training in (True, False):
        with pytest.raises(DataError, match=r"\b1 of .*: \S+3\.jpg"):
            validate_datasets(cfg, training=training)
    validate_datasets(make(DATALOADER__SKIP_BAD_IMAGES=True))


def test_nothing_to_train_on(make):
    data = toy_data()
    data["annotations"].clear()
    cfg = make(train=data)
    with pytest.raises(DataError, match=r"DATASETS\.TRAIN: .*DATALOADER\.FILTER_EMPTY_ANNOTATIONS False"):
        validate_datasets(cfg)
    validate_datasets(cfg, training=False)
    validate_datasets(make(val=data))
    both = make()
    both.DATASETS.TRAIN = (*cfg.DATASETS.TRAIN, *both.DATASETS.TRAIN)
    validate_datasets(both)
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    validate_datasets(cfg)


@pytest.mark.parametrize("minimum", [0, 1])
def test_keypoints_are_not_read(make, minimum):
    """Test a file with keypoints. DATASETS.REGISTER drops them, so the error must not say that the file has none."""
    data = toy_data()
    for item in data["annotations"]:
        item["keypoints"] = [1, 1, 2] * 17
    cfg = make(train=data, MODEL__KEYPOINT_ON=True, MODEL__ROI_KEYPOINT_HEAD__MIN_KEYPOINTS_PER_IMAGE=minimum)
    with pytest.raises(ConfigError, match=rf"MODEL\.KEYPOINT_ON .*{re.escape(cfg.DATASETS.TRAIN[0])}.*register_coco"):
        validate_datasets(cfg)


def test_other_files_than_images(make, tmp_path):
    """Test that files of other types are accepted for datasets with their own loader."""
    (tmp_path / "a.npy").write_bytes(b"numbers")
    record = {"file_name": str(tmp_path / "a.npy"), "height": 4, "width": 4, "image_id": 1, "annotations": []}
    DatasetCatalog.register("own_numbers", lambda: [record])
    try:
        cfg = make()
        cfg.DATASETS.TEST = ("own_numbers",)
        validate_datasets(cfg)
    finally:
        DatasetCatalog.remove("own_numbers")
