import itertools
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from seesaw_d2.data import build_test_loader, build_train_loader, register_datasets
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import HEIGHT, WIDTH, entry, make_cfg, toy_data, write, write_images
from tests.shared import shared_path


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", toy_data())
    return tmp_path / "images"


@pytest.fixture
def toy(tmp_path, images, request):
    def make(data=None, **options):
        name = f"toy_{request.node.name}_{len(list(tmp_path.iterdir()))}"
        cfg = make_cfg(
            entry(name, write(tmp_path, data or toy_data(), f"{name}.json"), images),
            train=[name],
            test=[name],
            DATALOADER__ASPECT_RATIO_GROUPING=False,
            **options,
        )
        register_datasets(cfg)
        return cfg

    return make


def batches(loader, count):
    return list(itertools.islice(iter(loader), count))


def test_batches(toy):
    for batch in batches(build_train_loader(toy()), 4):
        assert len(batch) == 2
        for sample in batch:
            assert sample["image"].shape[0] == 3
            assert len(sample["instances"]) == (3 if sample["image_id"] == 10 else 2)
            assert sample["instances"].has("gt_masks")


@pytest.mark.parametrize("workers", [0, 2])
def test_real_data_with_repeat_factors(workers):
    root = shared_path("data/coco38")
    cfg = make_cfg(
        entry("coco38_load", root / "lvis_train.json", root / "images"),
        train=["coco38_load"],
        test=["coco38_load"],
        DATALOADER__SAMPLER_TRAIN="RepeatFactorTrainingSampler",
        DATALOADER__REPEAT_THRESHOLD=0.5,
        DATALOADER__NUM_WORKERS=workers,
        SOLVER__IMS_PER_BATCH=4,
    )
    register_datasets(cfg)
    found = batches(build_train_loader(cfg), 5)
    assert [len(batch) for batch in found] == [4] * 5
    assert all(len(sample["instances"]) for batch in found for sample in batch)
    if not workers:
        assert len({batch[0]["image_id"] for batch in build_test_loader(cfg, "coco38_load")}) == 32


def test_missing_image_is_found_before_training(toy, images):
    cfg = toy()
    (images / "1.jpg").unlink()
    (images / "2.jpg").unlink()
    for build in (build_train_loader, lambda cfg: build_test_loader(cfg, cfg.DATASETS.TEST[0])):
        with pytest.raises(DataError, match=r"2 of 4 image files.*1\.jpg, .*2\.jpg.*SKIP_BAD_IMAGES True"):
            build(cfg)


def test_missing_folder_is_named(tmp_path):
    """Test that an error names a missing folder. LVIS v1's validation images are in train2017 and val2017."""
    data = toy_data()
    for index, image in enumerate(data["images"]):
        folder = "val2017" if index == 0 else "train2017"
        image |= {"coco_url": f"http://images.cocodataset.org/{folder}/{image['file_name']}", "neg_category_ids": []}
    root = tmp_path / "coco"
    write_images(root / "val2017", {"images": data["images"][:1]})
    cfg = make_cfg(entry("half_of_lvis", write(tmp_path, data), root, "lvis"), test=["half_of_lvis"])
    register_datasets(cfg)
    with pytest.raises(DataError) as error:
        build_test_loader(cfg, "half_of_lvis")
    assert "half_of_lvis: 3 of 4 image files" in str(error.value)
    assert f"{root / 'train2017'} (no such folder, 3 images)" in str(error.value)
    assert "val2017" not in str(error.value)


def test_missing_image_is_skipped(toy, images, caplog):
    cfg = toy(DATALOADER__SKIP_BAD_IMAGES=True)
    (images / "1.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        found = batches(build_train_loader(cfg), 6)
    assert "1 of 4 image files" in caplog.text
    assert {sample["image_id"] for batch in found for sample in batch} == {10, 12, 13}
    assert [batch[0]["image_id"] for batch in build_test_loader(cfg, cfg.DATASETS.TEST[0])] == [10, 12, 13]
    for index in (0, 2, 3):
        (images / f"{index}.jpg").unlink()
    with pytest.raises(DataError, match=r"4 of 4 image files"):
        build_train_loader(cfg)


@pytest.mark.parametrize("content", [b"", b"no image", "truncated"])
def test_corrupt_image_is_named(toy, images, content):
    path = images / "1.jpg"
    path.write_bytes(path.read_bytes()[:600] if content == "truncated" else content)
    cfg = toy()
    with pytest.raises(DataError, match=r"1\.jpg: .*decode.*SKIP_BAD_IMAGES"):
        batches(build_train_loader(cfg), 3)
    with pytest.raises(DataError, match=r"1\.jpg: .*decode"):
        batches(build_test_loader(cfg, cfg.DATASETS.TEST[0]), 4)


def test_corrupt_image_is_replaced_in_training(toy, images, caplog):
    (images / "1.jpg").write_bytes(b"no image")
    cfg = toy(DATALOADER__SKIP_BAD_IMAGES=True)
    with caplog.at_level(logging.WARNING):
        found = batches(build_train_loader(cfg), 8)
    assert {sample["image_id"] for batch in found for sample in batch} == {10, 12, 13}
    assert caplog.text.count("1.jpg: ") == 1
    for index in (0, 2, 3):
        (images / f"{index}.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"\.jpg: .* 99 "):
        batches(build_train_loader(cfg), 1)


def test_corrupt_image_is_blank_in_evaluation(toy, images):
    (images / "1.jpg").write_bytes(b"no image")
    cfg = toy(DATALOADER__SKIP_BAD_IMAGES=True, INPUT__MIN_SIZE_TEST=80)
    good, blank = [batch[0] for batch in batches(build_test_loader(cfg, cfg.DATASETS.TEST[0]), 2)]
    assert (blank["image_id"], blank["height"], blank["width"]) == (11, HEIGHT, WIDTH)
    assert blank["image"].shape == good["image"].shape == (3, 2 * HEIGHT, 2 * WIDTH)
    assert blank["image"].dtype == good["image"].dtype == torch.uint8
    assert blank["image"].count_nonzero() == 0
    assert blank.keys() == good.keys()


@pytest.mark.parametrize("skip", [False, True])
def test_size_other_than_annotated(toy, images, skip):
    Image.fromarray(np.zeros((WIDTH, HEIGHT, 3), np.uint8)).save(images / "1.jpg")
    cfg = toy(DATALOADER__SKIP_BAD_IMAGES=skip)
    with pytest.raises(DataError, match=r"1\.jpg: .*60 x 40, .* 40 x 60"):
        batches(build_train_loader(cfg), 3)


def test_a_failure_of_the_mapper_is_not_blamed_on_the_image(toy):
    def mapper(record):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        batches(build_train_loader(toy(), mapper=mapper), 1)


def test_images_without_objects(toy):
    data = toy_data()
    data["annotations"] = [item for item in data["annotations"] if item["image_id"] == 10]
    found = batches(build_train_loader(toy(data)), 2)
    assert {sample["image_id"] for batch in found for sample in batch} == {10}
    cfg = toy(data, DATALOADER__FILTER_EMPTY_ANNOTATIONS=False)
    for sampler in ("TrainingSampler", "RepeatFactorTrainingSampler"):
        cfg.DATALOADER.SAMPLER_TRAIN = sampler
        found = [sample for batch in batches(build_train_loader(cfg), 8) for sample in batch]
        assert {len(sample["instances"]) for sample in found} == {0, 3}
    data["annotations"].clear()
    with pytest.raises(DataError, match="FILTER_EMPTY_ANNOTATIONS False"):
        build_train_loader(toy(data))


def test_degenerate_boxes_do_not_stop_training(toy):
    data = toy_data()
    for item in data["annotations"]:
        if item["image_id"] != 10:
            item["bbox"] = [5, 5, 0, 10]
    data["annotations"][0]["bbox"] = [5, 5, -3, 10]
    for batch in batches(build_train_loader(toy(data)), 2):
        assert all(len(sample["instances"]) == 2 for sample in batch)


@pytest.mark.parametrize("crowd", [0, 1])
def test_run_length_masks(toy, crowd):
    data = toy_data()
    segmentation = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
    data["annotations"][0].update(segmentation=segmentation, iscrowd=crowd)
    if crowd:
        cfg = toy(data)
    else:
        with pytest.raises(ConfigError, match=r"INPUT\.MASK_FORMAT: expected \"bitmask\".*found 'polygon'"):
            build_train_loader(toy(data))
        cfg = toy(data, INPUT__MASK_FORMAT="bitmask")
    found = [sample for batch in batches(build_train_loader(cfg), 4) for sample in batch]
    assert {len(sample["instances"]) for sample in found if sample["image_id"] == 10} == {3 - crowd}


def test_objects_without_masks(toy):
    data = toy_data()
    del data["annotations"][0]["segmentation"]
    with pytest.raises(DataError, match=r"1 objects have no segmentation \(image ids 10\).*MODEL\.MASK_ON"):
        build_train_loader(toy(data))
    assert batches(build_train_loader(toy(data, MODEL__MASK_ON=False)), 2)


def test_test_set_for_training(toy):
    data = toy_data()
    del data["annotations"]
    with pytest.raises(DataError, match=r"DATASETS\.TRAIN: .*annotations"):
        build_train_loader(toy(data))
