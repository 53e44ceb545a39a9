"""Test that batches give the same detections as single images, in the same order."""

import itertools

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.predict.predictor import BatchPredictor, prepare
from tests.export.models import HEADS, classifier, detector, model_of, picture

ONE_STAGE = ("MODEL.RETINANET.IN_FEATURES", "['p2', 'p3', 'p4']", "MODEL.RETINANET.NUM_CLASSES", "7")
ONE_STAGE += ("MODEL.ANCHOR_GENERATOR.SIZES", "[[24], [40], [60]]", "MODEL.RETINANET.SCORE_THRESH_TEST", "0.0")
OTHERS = {  # meta-architectures without the method ``inference``, or with other results
    "RetinaNet": ONE_STAGE,
    "LongTailRetinaNet": (*ONE_STAGE, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss"),
    "LongTailFCOS": (*ONE_STAGE, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss"),
    "PanopticFPN": ("MODEL.SEM_SEG_HEAD.IN_FEATURES", "['p2', 'p3', 'p4']"),
}

# Image sizes. Some are padded to the same size, some are padded to different sizes.
SIZES = [(96, 128), (64, 96), (96, 127), (96, 128), (33, 41), (128, 96), (90, 120), (95, 128), (64, 95), (96, 128)]


def pictures():
    return [picture(height, width, seed) for seed, (height, width) in enumerate(SIZES)]


def assert_same(found, expected, tolerance=1e-4):
    assert len(found) == len(expected)
    assert torch.equal(found.pred_classes, expected.pred_classes)
    for name in ("scores", "pred_boxes"):
        pair = [getattr(each.get(name), "tensor", each.get(name)) for each in (found, expected)]
        torch.testing.assert_close(*pair, atol=tolerance, rtol=0)
    assert (found.pred_masks != expected.pred_masks).float().mean() < 1e-4


@pytest.mark.parametrize("head", ["normed_mask", "cascade", "pcb"])
def test_batches_give_what_one_at_a_time_gives(head, tmp_path):
    cfg = detector(tmp_path, *HEADS[head])
    alone, together = (list(BatchPredictor(cfg, size)(pictures())) for size in (1, np.int64(3)))
    assert len(alone) == len(together) == len(SIZES)
    assert sum(map(len, alone)) > len(SIZES)
    for found, expected, size in zip(together, alone, SIZES, strict=True):
        assert found.image_size == size
        assert_same(found, expected)


def test_a_device_of_auto_is_one_that_is_there(tmp_path):
    """Test that MODEL.DEVICE auto selects an available device, without changing the config, frozen or not."""
    cfg = detector(tmp_path)
    cfg.MODEL.DEVICE = "auto"
    cfg.freeze()
    predictor = BatchPredictor(cfg)
    assert predictor.model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert len(list(predictor([picture(64, 96, 0)]))) == 1
    assert cfg.MODEL.DEVICE == "auto"
    assert cfg.is_frozen()


def test_pictures_of_one_padded_size_share_a_forward_pass(tmp_path, monkeypatch):
    predictor = BatchPredictor(detector(tmp_path, "INPUT.MIN_SIZE_TEST", "0"), 2)
    sizes = []
    predict = predictor.predict
    monkeypatch.setattr(predictor, "predict", lambda images, given: sizes.append(given) or predict(images, given))
    order = [(96, 128), (64, 64), (90, 120), (64, 60), (96, 128)]
    found = list(predictor([picture(height, width, 0) for height, width in order]))
    assert sizes == [[(96, 128), (90, 120)], [(64, 64), (64, 60)], [(96, 128)]]
    assert [each.image_size for each in found] == order


def test_pictures_are_not_read_without_end(tmp_path):
    """Test that a stream of images yields results before the stream ends, even if all images differ in size."""
    predictor = BatchPredictor(detector(tmp_path, "INPUT.MIN_SIZE_TEST", "0"), 2)
    read = itertools.count()
    stream = (picture(32 + 32 * (next(read) % 9), 40 + 32 * (index % 7), index) for index in range(60))
    next(iter(predictor(stream)))
    assert next(read) <= 2 * 4 + 1
    assert list(predictor([])) == []


def test_a_single_other_size_does_not_hold_up_the_rest(tmp_path):
    predictor = BatchPredictor(detector(tmp_path, "INPUT.MIN_SIZE_TEST", "0"), 2)
    read = itertools.count()
    stream = (picture(32 if next(read) else 64, 32, index) for index in range(60))
    next(iter(predictor(stream)))
    assert next(read) <= 2 * 4 + 1


def test_detectron2s_own_padding_changes_detections(tmp_path):
    """Test that padding changes detections. Therefore, only images of the same padded size share a batch."""
    predictor = BatchPredictor(detector(tmp_path), 2)
    small, large = (torch.from_numpy(picture(*size, 1).transpose(2, 0, 1).copy()) for size in ((64, 64), (160, 160)))
    (alone,) = predictor.predict([small], [(64, 64)])
    beside, _ = predictor.predict([small, large], [(64, 64), (160, 160)])
    with pytest.raises(AssertionError):
        assert_same(beside, alone)


@pytest.mark.parametrize("name", OTHERS)
def test_other_meta_architectures(name, tmp_path):
    """Test that all detectors of Detectron2 are supported, with the detections of the model itself."""
    cfg = detector(tmp_path, "MODEL.META_ARCHITECTURE", name, *OTHERS[name])
    images = [picture(96, 128, seed) for seed in range(3)]
    inputs = [{"image": torch.from_numpy(prepare(cfg, each)), "height": 96, "width": 128} for each in images]
    with torch.no_grad():
        expected = [each["instances"] for each in model_of(cfg)(inputs)]
    found = list(BatchPredictor(cfg, 3)(images))
    assert len(expected[0]) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.get_fields().keys() == other.get_fields().keys()
        for field in other.get_fields():
            pair = [getattr(each.get(field), "tensor", each.get(field)) for each in (one, other)]
            torch.testing.assert_close(*pair)


def test_one_stage_boxes_are_decoded_in_float32(tmp_path):
    """Test the coordinates of a head whose predictions are exact in bfloat16, unlike coordinates of 1000 pixels."""
    keys = ("MODEL.META_ARCHITECTURE", "LongTailFCOS", *OTHERS["LongTailFCOS"], "MODEL.RETINANET.NUM_CLASSES", "1")
    all_boxes = ("MODEL.RETINANET.TOPK_CANDIDATES_TEST", "10000", "TEST.DETECTIONS_PER_IMAGE", "10000")
    cfg = detector(tmp_path, *keys, *all_boxes, "MODEL.RETINANET.NMS_THRESH_TEST", "1.0")
    boxes = []
    for dtype in ("float32", "bfloat16"):
        predictor = BatchPredictor(cfg, 1, dtype)
        for layer in (predictor.model.head.cls_score, predictor.model.head.bbox_pred):
            torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(predictor.model.head.bbox_pred.bias, 0.3125)
        (found,) = predictor.predict([torch.zeros(3, 32, 1056)], [(32, 1056)])
        boxes.append(torch.unique(found.pred_boxes.tensor, dim=0))
    assert boxes[0].max() > 1000
    torch.testing.assert_close(boxes[1], boxes[0], atol=1e-3, rtol=0)


def test_the_memory_of_an_image_may_be_reused(tmp_path):
    """Test a stream that writes each image to the same memory, in the layout of the model's inputs."""
    predictor = BatchPredictor(detector(tmp_path, "INPUT.MIN_SIZE_TEST", "0"), 2)
    images = [picture(64, 96, seed) for seed in range(4)]
    memory = np.empty((3, 64, 96), np.uint8).transpose(1, 2, 0)

    def stream():
        for image in images:
            memory[:] = image
            yield memory

    for found, expected in zip(predictor(stream()), predictor(images), strict=True):
        assert_same(found, expected, 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype, tmp_path):
    """Test that detections are close to those in float32, and that boxes and masks are computed in float32."""
    cfg = detector(tmp_path, *HEADS["normed_mask"])
    (full,), (half,) = (list(BatchPredictor(cfg, 1, kind)([picture(96, 128, 1)])) for kind in ("float32", dtype))
    assert half.scores.dtype == half.pred_boxes.tensor.dtype == torch.float32
    assert 0 < abs(half.scores[0] - full.scores[0]) < 0.05
    overlap = (half.pred_masks[0] & full.pred_masks[0]).sum() / (half.pred_masks[0] | full.pred_masks[0]).sum()
    assert overlap > 0.8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "found None"),
        (np.zeros((8, 8), np.uint8), r"uint8.* \(8, 8\)"),
        (np.zeros((8, 8, 3), np.float32), r"float32.* \(8, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8.* \(0, 8, 3\)"),
        (np.zeros((1, 999, 3), np.uint8), r" 1 x 999 .*INPUT\.MAX_SIZE_TEST 128"),
    ],
)
@pytest.mark.parametrize("resize", ["pillow", "pytorch", "opencv"])
def test_what_is_no_picture(given, message, resize, tmp_path):
    with pytest.raises(DataError, match=message):
        list(BatchPredictor(detector(tmp_path, "INPUT.RESIZE", resize))([given]))


def test_wrong_turns(tmp_path):
    cfg = detector(tmp_path)
    for size, found in ((0, "0"), (2.5, "2.5"), ("2", "'2'"), (None, "None")):
        with pytest.raises(ConfigError, match=rf"--batch-size: .*, found {found}"):
            BatchPredictor(cfg, size)
    with pytest.raises(ConfigError, match="--dtype: expected one of float32, float16, bfloat16, found 'half'"):
        BatchPredictor(cfg, 1, "half")
    with pytest.raises(ConfigError, match=r"META_ARCHITECTURE: .*ImageClassifier"):
        BatchPredictor(classifier(tmp_path), 1)
    for key, value in {
        "MODEL.META_ARCHITECTURE": "ProposalNetwork",
        "MODEL.PROPOSAL_GENERATOR.NAME": "PrecomputedProposals",
        "INPUT.FORMAT": "YUV-BT.601",
    }.items():
        with pytest.raises(ConfigError, match=f"{key}: expected .*, found {value}"):
            BatchPredictor(detector(tmp_path, key, value))


def test_a_config_without_the_keys_of_this_package():
    with pytest.raises(ConfigError, match="add_seesaw_config"):
        BatchPredictor(get_cfg())


@pytest.mark.parametrize("weights", ["", "detectron2://ImageNetPretrained/MSRA/R-50.pkl"])
def test_weights_are_a_whole_models(weights, tmp_path):
    """Test errors for missing weights, whose detections would be random, and for weights of a backbone."""
    cfg = detector(tmp_path)
    cfg.MODEL.WEIGHTS = weights
    with pytest.raises(ConfigError, match=f"MODEL.WEIGHTS: .*found .*{weights}"):
        BatchPredictor(cfg)


@pytest.mark.parametrize("enabled", [True, False])
def test_test_time_augmentation_is_not_ignored_without_a_word(tmp_path, caplog, enabled):
    BatchPredictor(detector(tmp_path, "TEST.AUG.ENABLED", str(enabled)))
    assert any("TEST.AUG.ENABLED" in text for text in caplog.messages) == enabled
