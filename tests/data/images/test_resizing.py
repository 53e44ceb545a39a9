"""Test INPUT.RESIZE: resizing as in Detectron2, or with the pixels and sizes of MMDetection."""

import importlib.util
import warnings

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from pycocotools import mask as mask_utils

from seesaw_d2.data.images.mapper import CheckedMapper
from seesaw_d2.data.images.resizing import (
    OpenCVResizeShortestEdge,
    OpenCVResizeTransform,
    PyTorchResizeTransform,
    build_mapper,
    build_resizing,
)
from seesaw_d2.data.sampling.loaders import build_test_loader, build_train_loader
from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config, main

SIZES = (
    "INPUT.MIN_SIZE_TEST",
    120,
    "INPUT.MAX_SIZE_TEST",
    200,
    "INPUT.MIN_SIZE_TRAIN",
    (90, 120),
    "INPUT.MAX_SIZE_TRAIN",
    200,
)


def config(resize, *overrides):
    return load_config("", ["INPUT.RESIZE", resize, *SIZES, "INPUT.RANDOM_FLIP", "none", *overrides])


def picture(height=77, width=101, channels=3):
    shape = (height, width, channels)[: 3 if channels else 2]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", [3, 1, 0])
@pytest.mark.parametrize("size", [(120, 158), (40, 52)], ids=["larger", "smaller"])
def test_pixels_are_opencvs(channels, size):
    image = picture(channels=channels)
    found = OpenCVResizeTransform(77, 101, *size).apply_image(image)
    assert found.shape == (*size, *image.shape[2:])
    assert np.array_equal(found.squeeze(), cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR))
    # When shrinking, Pillow's antialiasing is the largest difference.
    plain = T.ResizeTransform(77, 101, *size).apply_image(image)
    difference = np.abs(plain.astype(int) - found).max()
    assert difference <= 2 if size[0] > 77 else difference > 20


@pytest.mark.parametrize("channels", [3, 1, 0])
@pytest.mark.parametrize("size", [(120, 158), (40, 52), (77, 101)], ids=["larger", "smaller", "as it is"])
def test_pytorchs_pixels_are_pillows_but_for_a_last_digit(channels, size):
    image = picture(channels=channels)
    ours, plain = (transform(77, 101, *size) for transform in (PyTorchResizeTransform, T.ResizeTransform))
    found, expected = ours.apply_image(image), plain.apply_image(image)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    difference = np.abs(expected.astype(int) - found)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005
    wide = image.astype(np.float32)
    assert np.array_equal(ours.apply_image(wide), plain.apply_image(wide))
    mask = picture(channels=0) // 128 * 7
    assert np.array_equal(ours.apply_segmentation(mask), plain.apply_segmentation(mask))
    assert type(ours.inverse()) is PyTorchResizeTransform
    assert ours.inverse().apply_image(found).shape == image.shape


def test_masks_keep_their_values():
    mask = picture(channels=0) // 128 * 7
    found = OpenCVResizeTransform(77, 101, 120, 158).apply_segmentation(mask)
    assert set(np.unique(found)) == {0, 7}
    assert np.array_equal(found, cv2.resize(mask, (158, 120), interpolation=cv2.INTER_NEAREST))


def test_boxes_and_polygons_are_scaled_as_in_detectron2():
    ours, plain = OpenCVResizeTransform(77, 101, 120, 158), T.ResizeTransform(77, 101, 120, 158)
    points = np.random.default_rng(1).uniform((0, 0, 38, 38), (38, 38, 76, 76), (5, 4))
    assert np.array_equal(ours.apply_box(points), plain.apply_box(points))
    assert np.array_equal(ours.apply_coords(points[:, :2].copy()), plain.apply_coords(points[:, :2].copy()))
    inverse = ours.inverse()
    assert type(inverse) is OpenCVResizeTransform
    np.testing.assert_allclose(
        inverse.apply_box(ours.apply_box(points)), plain.inverse().apply_box(plain.apply_box(points))
    )


def rescale_size(height, width, short, long):
    """Return the same size as mmcv 2.1.0's rescale_size with a scale of (long, short)."""
    max_long_edge, max_short_edge = max(long, short), min(long, short)
    factor = min(max_long_edge / max(height, width), max_short_edge / min(height, width))
    return int(height * float(factor) + 0.5), int(width * float(factor) + 0.5)


def test_sizes_are_mmdetections():
    """Compare sizes with MMDetection. For a few of 10,000 random sizes, Detectron2's size differs by a pixel."""
    random, different = np.random.default_rng(2), 0
    for height, width in random.integers(100, 1500, (20000, 2)).tolist():
        found = OpenCVResizeShortestEdge.get_output_shape(height, width, 800, 1333)
        assert found == rescale_size(height, width, 800, 1333)
        theirs = T.ResizeShortestEdge.get_output_shape(height, width, 800, 1333)
        assert max(abs(found[0] - theirs[0]), abs(found[1] - theirs[1])) <= 1
        different += found != theirs
    assert 0 < different < 40


@pytest.mark.parametrize("resize", ["opencv", "pytorch"])
@pytest.mark.parametrize("style", ["range", "choice"])
def test_the_same_seed_draws_the_same_sizes(style, resize):
    cfg = config(resize, "INPUT.MIN_SIZE_TRAIN_SAMPLING", style)
    plain = T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TRAIN, 200, style)
    (ours,) = build_resizing(cfg, [plain])
    image, sizes = picture(), []
    for augmentation in (plain, ours):
        np.random.seed(7)  # noqa: NPY002 (Detectron2's)
        sizes.append([augmentation.get_transform(image).new_h for _ in range(20)])
    assert sizes[0] == sizes[1]
    assert len(set(sizes[0])) > 1
    (kept,) = build_resizing(cfg, [T.ResizeShortestEdge(0)])
    assert kept.get_transform(image).apply_image(image) is image


def record(path):
    cv2.imwrite(str(path), picture(60, 90))
    box = {"bbox": [10, 12, 60, 48], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    polygon = [[10.0, 12, 60, 12, 60, 48, 10, 48]]
    return {
        "file_name": str(path),
        "image_id": 1,
        "height": 60,
        "width": 90,
        "annotations": [{**box, "segmentation": polygon}],
    }


@pytest.fixture
def warnings_are_errors():
    """Raise PyTorch's warnings as errors each time, although PyTorch shows them only once in a process."""
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield
    torch.set_warn_always(False)


@pytest.mark.parametrize("image_format", ["BGR", "L"])
@pytest.mark.parametrize("size", [60, 120], ids=["same size", "resized"])
def test_masks_and_gray_images_are_made_of_writable_arrays(tmp_path, warnings_are_errors, image_format, size):
    item = record(tmp_path / "x.png")
    mask = np.zeros((60, 90), dtype=np.uint8, order="F")
    mask[12:48, 10:60] = 1
    item["annotations"][0]["segmentation"] = mask_utils.encode(mask)
    options = ("INPUT.MASK_FORMAT", "bitmask", "MODEL.MASK_ON", True, "INPUT.MIN_SIZE_TRAIN", (size,))
    options += ("INPUT.FORMAT", image_format, "INPUT.RANDOM_FLIP", "none", "INPUT.MIN_SIZE_TRAIN_SAMPLING", "choice")
    found = CheckedMapper(build_mapper(config("pillow", *options), is_train=True))(item)
    masks = found["instances"].gt_masks.tensor
    assert masks.sum() == 36 * 50 * (size // 60) ** 2
    assert found["image"].shape == (3 if image_format == "BGR" else 1, *masks.shape[1:])


@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
@pytest.mark.parametrize("is_train", [True, False], ids=["training", "test"])
def test_the_mapper(tmp_path, is_train, mask_format):
    """Test that the mapper gives the same boxes and masks as Detectron2's mapper, and OpenCV's pixels."""
    item, fixed = record(tmp_path / "x.png"), ("INPUT.MASK_FORMAT", mask_format, "INPUT.MIN_SIZE_TRAIN", (120,))
    fixed += ("MODEL.MASK_ON", True, "INPUT.MIN_SIZE_TRAIN_SAMPLING", "choice")
    plain = DatasetMapper(config("pillow", *fixed), is_train)(dict(item))
    assert torch.equal(build_mapper(config("pillow", *fixed), is_train=is_train)(dict(item))["image"], plain["image"])
    found = build_mapper(config("opencv", *fixed), is_train=is_train)(dict(item))
    resized = cv2.resize(cv2.imread(item["file_name"]), (180, 120), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(found["image"].permute(1, 2, 0).numpy(), resized)
    assert not torch.equal(found["image"], plain["image"])
    if is_train:
        ours, theirs = found["instances"], plain["instances"]
        assert torch.equal(ours.gt_boxes.tensor, theirs.gt_boxes.tensor)
        assert torch.equal(ours.gt_boxes.tensor, torch.tensor([[20.0, 24, 120, 96]]))
        boxes = (ours.gt_masks.get_bounding_boxes().tensor - ours.gt_boxes.tensor).abs().max()
        assert boxes <= 1


def test_the_loaders(config_file):
    """Test the training loader and the test loader with the data of the quickstart."""
    from seesaw_d2.data import register_datasets

    images = {}
    for resize in ("pillow", "pytorch", "opencv"):
        cfg = load_config(
            str(config_file), ["INPUT.RESIZE", resize, "INPUT.MIN_SIZE_TEST", 50, "INPUT.MIN_SIZE_TRAIN", "(50,)"]
        )
        register_datasets(cfg)
        images[resize] = next(iter(build_test_loader(cfg, cfg.DATASETS.TEST[0])))[0]["image"]
        assert min(next(iter(build_train_loader(cfg)))[0]["image"].shape[1:]) == 50
    assert images["pillow"].shape == images["opencv"].shape
    assert not torch.equal(images["pillow"], images["opencv"])
    assert (images["pillow"].int() - images["pytorch"].int()).abs().max() <= 1


def test_a_wrong_value_is_found_at_the_start(config_file, capsys):
    with pytest.raises(ConfigError, match=r'INPUT\.RESIZE: expected "pillow", "pytorch" or "opencv", found \'cv2\''):
        build_mapper(config("cv2"), is_train=False)
    assert main(["--config-file", str(config_file), "INPUT.RESIZE", "cv2"]) == 2
    assert "INPUT.RESIZE" in capsys.readouterr().err
    assert not (config_file.parent / "run").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("mmcv") is None, reason="needs mmcv (tests/weights/converters/mmdet_on_cpu.py)"
)
@pytest.mark.parametrize("size", [(80, 133), (333, 200), (500, 480)])
def test_beside_mmcv(tmp_path, size):
    import mmcv

    image = picture(*size)
    cv2.imwrite(str(tmp_path / "x.jpg"), image)
    cfg = config("opencv", "INPUT.FORMAT", "RGB")
    found = build_mapper(cfg, is_train=False)(
        {"file_name": str(tmp_path / "x.jpg"), "image_id": 0, "height": size[0], "width": size[1]}
    )
    expected = mmcv.imrescale(mmcv.imread(str(tmp_path / "x.jpg"), channel_order="rgb"), (200, 120))
    assert np.array_equal(found["image"].permute(1, 2, 0).numpy(), expected)
