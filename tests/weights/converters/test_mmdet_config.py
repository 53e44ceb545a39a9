"""Test settings in config texts of MMDetection's checkpoints: equal, converted to overrides, or an error."""

import pytest

from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config
from seesaw_d2.weights.converters.mmdet_file import carried_keys, read_settings
from tests.weights.converters.mmdet_texts import edited, mmdet_text

BOX, PREDICTOR = "MODEL.ROI_BOX_HEAD", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR"
CONFIGS = {False: "configs/seesaw/mask_rcnn_R_50_FPN_random_seesaw_2x.yaml"}
CONFIGS[True] = "configs/seesaw/cascade_mask_rcnn_R_101_FPN_random_seesaw_2x.yaml"
EVERY = [(version, cascade) for version in (2, 3) for cascade in (False, True)]


def read(text):
    return read_settings({"cfg": text}, "in.pth", must_read=True)


def carried(text, cascade=False, overrides=("INPUT.RESIZE", "opencv")):
    """Return the overrides as a dict from key to text."""
    settings, notes = read(text)
    assert notes == []
    words = carried_keys(settings, load_config(CONFIGS[cascade], overrides))
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize(("version", "cascade"), EVERY)
@pytest.mark.parametrize("normed_mask", [False, True])
def test_the_zoos_models_are_this_projects(version, cascade, normed_mask):
    text = mmdet_text(version, cascade=cascade, normed_mask=normed_mask)
    assert read(text)[0].normed_mask is normed_mask
    mask = ["MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"] if normed_mask else []
    assert carried(text, cascade, ["INPUT.RESIZE", "opencv", *mask]) == {}


BOTH = [
    ("cls_predictor_cfg=dict(type='NormedLinear', tempearture=20),", "", {f"{PREDICTOR}.NAME": "Linear"}),
    ("dict(type='NormedLinear', tempearture=20)", "dict(type='Linear')", {f"{PREDICTOR}.NAME": "Linear"}),
    (
        "dict(type='NormedLinear', tempearture=20)",
        "dict(type='NormedLinear', tempearture=5)",
        {f"{PREDICTOR}.TEMPERATURE": "5.0"},
    ),
    ("style='pytorch'", "style='caffe'", {"MODEL.RESNETS.STRIDE_IN_1X1": "True"}),
    ("bgr_to_rgb=True", "bgr_to_rgb=False", {"INPUT.FORMAT": "BGR"}),
    (
        "mean=[123.675, 116.28, 103.53]",
        "mean=[103.53, 116.28, 123.675]",
        {"MODEL.PIXEL_MEAN": "[103.53, 116.28, 123.675]"},
    ),
    ("std=[58.395, 57.12, 57.375]", "std=[1.0, 1.0, 1.0]", {"MODEL.PIXEL_STD": "[1.0, 1.0, 1.0]"}),
    ("(1333, 800)", "(1000, 600)", {"INPUT.MIN_SIZE_TEST": "600", "INPUT.MAX_SIZE_TEST": "1000"}),
    ("(1333, 800)", "(640, 1333)", {"INPUT.MIN_SIZE_TEST": "640"}),
    ("keep_ratio=True", "keep_ratio=True, backend='pillow'", {"INPUT.RESIZE": "pillow"}),
    ("score_thr=0.0001", "score_thr=0.05", {"MODEL.ROI_HEADS.SCORE_THRESH_TEST": "0.05"}),
    ("score_thr=0.0001", "score_thr=0", {"MODEL.ROI_HEADS.SCORE_THRESH_TEST": "0.0"}),
    ("max_per_img=300", "max_per_img=100", {"TEST.DETECTIONS_PER_IMAGE": "100"}),
    ("iou_threshold=0.5", "iou_threshold=0.6", {"MODEL.ROI_HEADS.NMS_THRESH_TEST": "0.6"}),
    ("iou_threshold=0.5", "iou_thr=0.45", {"MODEL.ROI_HEADS.NMS_THRESH_TEST": "0.45"}),
    ("nms=dict(type='nms', iou_threshold=0.7)", "nms_thr=0.8", {"MODEL.RPN.NMS_THRESH": "0.8"}),
    (
        "nms_pre=1000, max_per_img=1000",
        "nms_pre=2000, nms_post=500, max_num=500",
        {"MODEL.RPN.PRE_NMS_TOPK_TEST": "2000", "MODEL.RPN.POST_NMS_TOPK_TEST": "500"},
    ),
    ("min_bbox_size=0", "min_bbox_size=4", {"MODEL.PROPOSAL_GENERATOR.MIN_SIZE": "4"}),
    ("scales=[8]", "scales=[4]", {"MODEL.ANCHOR_GENERATOR.SIZES": "[[16], [32], [64], [128], [256]]"}),
    ("output_size=7, sampling_ratio=0", "output_size=7, sampling_ratio=2", {f"{BOX}.POOLER_SAMPLING_RATIO": "2"}),
    (
        "output_size=7, sampling_ratio=0",
        "output_size=7, sampling_ratio=0, aligned=False",
        {f"{BOX}.POOLER_TYPE": "ROIAlign"},
    ),
]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("old", "new", "expected"), BOTH)
def test_what_is_carried_over(version, old, new, expected):
    if version == 2:
        old, new = (word.replace("bgr_to_rgb", "to_rgb") for word in (old, new))
    found = carried(edited(mmdet_text(version), old, new))
    assert found == expected
    load_config(CONFIGS[False], [word for pair in found.items() for word in pair])  # each value is valid for its key


def test_the_boxes_of_a_stage_are_carried_over():
    text = edited(mmdet_text(3, cascade=True), "[0.033, 0.033, 0.067, 0.067]", "[0.04, 0.04, 0.08, 0.08]")
    (found,) = carried(text, cascade=True).items()
    assert found == (
        "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS",
        "[[10.0, 10.0, 5.0, 5.0], [20.0, 20.0, 10.0, 10.0], [25.0, 25.0, 12.5, 12.5]]",
    )


REFUSED = [
    ("type='MaskRCNN'", "type='PointRend'", "model.type", "PointRend"),
    ("depth=50", "depth=50, dcn=dict(type='DCNv2', deform_groups=1)", "model.backbone.dcn", "DCNv2"),
    ("depth=50", "depth=50, dilations=(1, 1, 1, 2)", "model.backbone.dilations", "[1, 1, 1, 2]"),
    ("style='pytorch'", "style='tensorflow'", "model.backbone.style", "tensorflow"),
    ("norm_cfg=dict(type='BN'", "norm_cfg=dict(type='BN', eps=0.001", "model.backbone.norm_cfg.eps", "0.001"),
    ("depth=50", "depth=50, surprise=1", "model.backbone.surprise", "1"),
    ("num_outs=5", "num_outs=5, upsample_cfg=dict(mode='bilinear')", "model.neck.upsample_cfg", "bilinear"),
    ("scales=[8]", "scales=[4, 8]", "anchor_generator.scales", "[4, 8]"),
    ("type='RoIAlign', output_size=7", "type='RoIPool', output_size=7", "roi_layer.type", "RoIPool"),
    ("tempearture=20)", "tempearture=20, power=2.0)", "cls_predictor_cfg.power", "2.0"),
    ("type='NormedLinear'", "type='CosineLinear'", "cls_predictor_cfg.type", "CosineLinear"),
    ("tempearture=20", "tempearture='20'", "cls_predictor_cfg.tempearture", "'20'"),
    (
        "nms=dict(type='nms', iou_threshold=0.5)",
        "nms=dict(type='soft_nms', iou_threshold=0.5)",
        "test_cfg.rcnn.nms.type",
        "soft_nms",
    ),
    ("iou_threshold=0.5", "iou_threshold=0.5, class_agnostic=True", "test_cfg.rcnn.nms.class_agnostic", "True"),
    ("mask_thr_binary=0.5", "mask_thr_binary=0.3", "test_cfg.rcnn.mask_thr_binary", "0.3"),
    ("max_per_img=300", "max_per_img=-1", "test_cfg.rcnn.max_per_img", "-1"),
    ("max_per_img=300", "max_per_img=limit(300)", "test_cfg.rcnn.max_per_img", "line"),
    ("score_thr=0.0001", "score_thr=float('nan')", "test_cfg.rcnn.score_thr", "line"),
    ("mean=[123.675, 116.28, 103.53]", "mean=[123.675]", "mean", "[123.675]"),
    ("std=[58.395, 57.12, 57.375]", "std=[0, 0, 0]", "std", "[0, 0, 0]"),
    ("keep_ratio=True", "keep_ratio=False", "keep_ratio", "False"),
    ("keep_ratio=True", "keep_ratio=True, interpolation='area'", "interpolation", "area"),
    ("(1333, 800)", "[(1333, 640), (1333, 800)]", "test scale", "640"),
    ("dict(type='LoadImageFromFile'", "dict(type='LoadImageFromFile', to_float32=True", "to_float32", "True"),
]
OF_2 = [
    ("flip=False", "flip=True", "flip", "True"),
    ("dict(type='Pad', size_divisor=32),", "", "Pad", "32"),
    ("size_divisor=32", "size_divisor=1", "size_divisor", "1"),
    ("dict(type='RandomFlip'),", "dict(type='PhotoMetricDistortion'),", "transforms[1]", "PhotoMetricDistortion"),
]
OF_3 = [
    ("pad_size_divisor=32", "pad_size_divisor=1", "pad_size_divisor", "1"),
    (", pad_size_divisor=32", "", "pad_size_divisor", "32"),
    (", keep_ratio=True", "", "keep_ratio", "False"),
    ("scale=(1333, 800)", "scale_factor=0.5", "scale_factor", "0.5"),
]


@pytest.mark.parametrize(
    ("version", "old", "new", "place", "value"),
    [(version, *case) for version in (2, 3) for case in REFUSED + (OF_2 if version == 2 else OF_3)],
)
def test_what_is_refused(version, old, new, place, value):
    with pytest.raises(ConfigError) as error:
        read(edited(mmdet_text(version), old, new))
    assert str(error.value).startswith("in.pth: ")
    assert place in str(error.value)
    assert value in str(error.value)


def test_stages_that_disagree():
    text = mmdet_text(2, cascade=True)
    first = text.index("tempearture=20") + len("tempearture=20")
    with pytest.raises(ConfigError, match=r"bbox_head\[1\].*TEMPERATURE"):
        read(text[: first - 2] + "5" + text[first:])


def test_what_is_not_said():
    for meta in ({}, {"cfg": ""}, {"cfg": {"model": {}}}):
        settings, notes = read_settings(meta, "in.pth", must_read=True)
        assert (settings.keys, len(notes)) == ({}, 1)
    _, notes = read("_base_ = './mask_rcnn.py'\nmodel = dict(roi_head=dict(mask_head=dict()))")
    for word in ("test pipeline", "model.backbone", "_base_"):
        assert word in notes[0]
