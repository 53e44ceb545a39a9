"""Test errors for unsupported combinations of options, and for keys that a kind of model does not read."""

import re

import pytest
from detectron2.modeling import build_model

from seesaw_d2.config.loading import default_config, leaf_keys
from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.config_checks import check_cropping, check_names, name_feature_maps
from seesaw_d2.train.preflight.keys import check_written, written_layers
from seesaw_d2.train.preflight.keys.check import unmet_needs
from tests.modeling.small_zoo import small_zoo_config
from tests.modeling.test_foreign_programs import Recording, recording
from tests.modeling.tiny import CASCADE, tiny_config

HEADS, ARCHITECTURE, BOX_HEAD = "MODEL.ROI_HEADS.NAME", "MODEL.META_ARCHITECTURE", "MODEL.ROI_BOX_HEAD"
LOSS = f"{BOX_HEAD}.CLS_LOSS.NAME"
C4 = (HEADS, "SeesawRes5ROIHeads", f"{BOX_HEAD}.NAME", "")
PANOPTIC = (ARCHITECTURE, "PanopticFPN")
QUICKSTART = "configs/quickstart/{}.yaml"
MASK, CASCADE_MASK, RETINANET, SEMANTIC, FCOS = map(
    QUICKSTART.format,
    ("mask_rcnn_glyphs_seesaw", "cascade_mask_rcnn_glyphs_seesaw", "retinanet_glyphs_focal", "semantic_glyphs_seesaw",
     "fcos_glyphs_focal"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (C4, "MODEL.ROI_HEADS.IN_FEATURES"),
        ((HEADS, "Res5ROIHeads"), "MODEL.ROI_HEADS.IN_FEATURES"),
        (("MODEL.ROI_HEADS.IN_FEATURES", "[]"), "MODEL.ROI_HEADS.IN_FEATURES"),
        (("MODEL.ROI_MASK_HEAD.POOLER_TYPE", "ROIAlignRotated"), "MODEL.ROI_MASK_HEAD.POOLER_TYPE"),
        ((f"{BOX_HEAD}.BBOX_REG_WEIGHTS", (10.0, 10.0, 5.0, 5.0, 1.0)), f"{BOX_HEAD}.BBOX_REG_WEIGHTS"),
        ((f"{BOX_HEAD}.BBOX_REG_LOSS_TYPE", "iou"), f"{BOX_HEAD}.BBOX_REG_LOSS_TYPE"),
        (("MODEL.FPN.FUSE_TYPE", "max"), "MODEL.FPN.FUSE_TYPE"),
        ((*PANOPTIC, "MODEL.MASK_ON", False), "MODEL.MASK_ON"),
        ((*PANOPTIC, "MODEL.PANOPTIC_FPN.COMBINE.ENABLED", False), "MODEL.PANOPTIC_FPN.COMBINE.ENABLED"),
        ((*PANOPTIC, "MODEL.LOAD_PROPOSALS", True), "MODEL.LOAD_PROPOSALS"),
    ],
)
def test_models_that_cannot_be_built(overrides, key):
    with pytest.raises(ConfigError, match=f"^{re.escape(key)}: "):
        check_names(tiny_config(*overrides))


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ((*C4, "MODEL.ROI_HEADS.IN_FEATURES", ["p3"]), "MODEL.ROI_HEADS.IN_FEATURES.*p3"),
        (("MODEL.ROI_HEADS.IN_FEATURES", ["p2", "p9"]), "MODEL.ROI_HEADS.IN_FEATURES.*p9"),
        (("MODEL.RPN.IN_FEATURES", ["p9"]), "MODEL.RPN.IN_FEATURES.*p9"),
    ],
)
def test_feature_maps_that_the_backbone_does_not_have(overrides, key):
    cfg = tiny_config(*overrides)
    with pytest.raises(ConfigError, match=key), name_feature_maps(cfg):
        build_model(cfg)


@pytest.mark.parametrize(
    ("key", "value"), [("IN_FEATURES", "['p2', 'p9']"), ("IN_FEATURES", "[]"), ("COMMON_STRIDE", 3)]
)
def test_feature_maps_of_the_semantic_head(key, value):
    cfg = load_config(SEMANTIC, ["MODEL.DEVICE", "cpu", f"MODEL.SEM_SEG_HEAD.{key}", value])
    with pytest.raises(ConfigError, match=rf"MODEL\.SEM_SEG_HEAD\.{key}"):
        build_model(cfg)


def test_cropping_without_the_package(monkeypatch):
    monkeypatch.setattr("seesaw_d2.train.preflight.config_checks.find_spec", lambda name: None)
    cfg = load_config(MASK, ["INPUT.CROP.ENABLED", True])
    with pytest.raises(ConfigError, match=r"INPUT\.CROP\.ENABLED.*shapely"):
        check_cropping(cfg)
    check_cropping(load_config(SEMANTIC, ["INPUT.CROP.ENABLED", True]))
    check_cropping(load_config(MASK, ["INPUT.CROP.ENABLED", True, "INPUT.MASK_FORMAT", "bitmask"]))  # run lengths


@pytest.mark.parametrize("path", [RETINANET, FCOS])
def test_group_normalization_of_one_stage_detectors(path):
    cfg = load_config(path, ["MODEL.DEVICE", "cpu", "MODEL.RETINANET.NORM", "GN", "DATASETS.TRAIN", "()"])
    subnet = build_model(cfg).head.cls_subnet
    assert [(layer.num_groups, layer.num_channels) for layer in subnet if hasattr(layer, "num_groups")] == [
        (32, 64)
    ] * 2


SEMANTIC_PLAIN = ("MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNHead")
UNREAD = [
    (SEMANTIC, SEMANTIC_PLAIN, f"{BOX_HEAD}.CLS_PREDICTOR.NAME"),
    (SEMANTIC, (*SEMANTIC_PLAIN, f"{BOX_HEAD}.CLS_LOSS.SEESAW.P", 0.8), f"{BOX_HEAD}.CLS_LOSS.SEESAW.P"),
    (SEMANTIC, (HEADS, "SeesawROIHeads"), HEADS),
    (CASCADE_MASK, (f"{BOX_HEAD}.TRAIN_ON_PRED_BOXES", True), f"{BOX_HEAD}.TRAIN_ON_PRED_BOXES"),
    (MASK, (f"{BOX_HEAD}.BBOX_REG_LOSS_TYPE", "giou", f"{BOX_HEAD}.SMOOTH_L1_BETA", 0.1), f"{BOX_HEAD}.SMOOTH_L1_BETA"),
    (MASK, ("MODEL.ANCHOR_GENERATOR.ANGLES", [[-90, 0]]), "MODEL.ANCHOR_GENERATOR.ANGLES"),
    (MASK, (*C4, f"{BOX_HEAD}.FC_DIM", 512), f"{BOX_HEAD}.FC_DIM"),
]


@pytest.mark.parametrize(("path", "overrides", "key"), UNREAD, ids=str)
def test_keys_that_a_model_does_not_read(path, overrides, key):
    overrides = list(map(str, overrides))
    with pytest.raises(ConfigError, match=rf"(^|\W){re.escape(key)} .*(needs|found)"):
        check_written(load_config(path, overrides), written_layers(path, overrides))


def test_keys_of_the_rpn_with_this_packages_rpn():
    overrides = ["MODEL.RPN.NMS_THRESH", "0.6", "MODEL.ANCHOR_GENERATOR.SIZES", "[[16], [32]]"]
    check_written(load_config(MASK, overrides), written_layers(MASK, overrides))


ZOO = "COCO-{}.yaml"
MODELS = {
    "mask": lambda: tiny_config("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"),
    "cascade": lambda: tiny_config(*CASCADE),
    "iterative": lambda: tiny_config(HEADS, "IterativeROIHeads"),
    "c4": lambda: small_zoo_config(ZOO.format("InstanceSegmentation/mask_rcnn_R_50_C4_1x"), *C4[:2]),
    "fast": lambda: small_zoo_config(ZOO.format("Detection/fast_rcnn_R_50_FPN_1x"), HEADS, "SeesawROIHeads"),
    "keypoints": lambda: small_zoo_config(ZOO.format("Keypoints/keypoint_rcnn_R_50_FPN_1x"), HEADS, "SeesawROIHeads"),
    "panoptic": lambda: small_zoo_config(
        ZOO.format("PanopticSegmentation/panoptic_fpn_R_50_1x"), "MODEL.SEM_SEG_HEAD.NAME", "SeesawSemSegFPNHead"
    ),
    "retinanet": lambda: small_zoo_config(
        ZOO.format("Detection/retinanet_R_50_FPN_1x"), ARCHITECTURE, "LongTailRetinaNet", LOSS, "FocalLoss"
    ),
    "fcos": lambda: load_config(FCOS, ["MODEL.DEVICE", "cpu"]),
    "semantic": lambda: load_config(SEMANTIC, ["MODEL.DEVICE", "cpu"]),
}
# Keys that the trainer or the loaders read, whose value False has no effect, or that other checks refuse.
ELSEWHERE = (
    *("MODEL.WEIGHTS", "MODEL.WEIGHTS_EXCEPT", "MODEL.FREEZE.NAMES", "MODEL.FREEZE.EXCEPT", "MODEL.CHANNELS_LAST"),
    *("MODEL.COMPILE", "MODEL.ROI_ALIGN_GRADIENT", "MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE"),
    *("MODEL.LOAD_PROPOSALS", "MODEL.MASK_ON", "MODEL.KEYPOINT_ON"),
    *(f"MODEL.RETINANET.{name}" for name in ("PRIOR_PROB", "FOCAL_LOSS_GAMMA", "FOCAL_LOSS_ALPHA")),
)


@pytest.mark.parametrize("name", MODELS)
def test_every_key_of_a_model_is_read_or_refused(name, monkeypatch):
    monkeypatch.setattr("seesaw_d2.modeling.building.trainer_keys", lambda cfg: [])  # it reads all keys
    monkeypatch.setattr("seesaw_d2.modeling.building.provide_names", lambda cfg: None)
    cfg, Recording.read = MODELS[name](), set()
    build_model(recording(cfg))
    keys = [key for key in leaf_keys(default_config()) if key.startswith("MODEL.") and key not in ELSEWHERE]
    assert [key for key in keys if key not in Recording.read and not unmet_needs(cfg, key)] == []
