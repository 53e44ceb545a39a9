"""Test that R-CNNs of Detectron2 and its projects train with Seesaw Loss after one key, or raise an error."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Keypoints
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling import NormedMaskHead, SeesawBoxPredictor
from seesaw_d2.train.preflight.config_checks import check_names
from tests.modeling.small_zoo import small_zoo_config
from tests.modeling.tiny import NUM_CLASSES, tiny_batch

MASK_RCNN = "COCO-InstanceSegmentation/mask_rcnn_R_50_{}_1x.yaml"
NORMED_MASK = ("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead")
HEADS = "MODEL.ROI_HEADS.NAME"
# Case -> Detectron2's config, and overrides with the key that selects Seesaw Loss.
MODELS = {
    "c4": (MASK_RCNN.format("C4"), (HEADS, "SeesawRes5ROIHeads", *NORMED_MASK)),
    "c4_faster": ("COCO-Detection/faster_rcnn_R_50_C4_1x.yaml", (HEADS, "SeesawRes5ROIHeads")),
    "dc5": (MASK_RCNN.format("DC5"), (HEADS, "SeesawROIHeads", *NORMED_MASK)),
    "fpn": (MASK_RCNN.format("FPN"), (HEADS, "SeesawROIHeads")),
    "fpn_faster": ("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", (HEADS, "SeesawROIHeads")),
    "cascade": ("Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml", (HEADS, "SeesawCascadeROIHeads")),
    "keypoints": ("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml", (HEADS, "SeesawROIHeads")),
}


def keypoints(batch):
    for item in batch:
        points = item["instances"].gt_boxes.get_centers().unsqueeze(1).repeat(1, 17, 1)
        item["instances"].gt_keypoints = Keypoints(torch.cat([points, torch.full_like(points[..., :1], 2)], dim=2))
    return batch


def train_and_predict(cfg, batch) -> dict[str, torch.Tensor]:
    """Run a training step and inference, and check that Seesaw Loss trains the classifier. Return the losses."""
    torch.manual_seed(0)
    model = build_model(cfg).train()
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert any(name.startswith("loss_cls_objectness") for name in losses)
    found = [each for each in model.modules() if isinstance(each, SeesawBoxPredictor)]
    assert found
    for predictor in found:
        assert isinstance(predictor.cls_loss, SeesawLoss)
        assert predictor.cls_loss.class_counts.sum() > 0
        assert predictor.cls_score.weight.grad.abs().sum() > 0
    with torch.no_grad():
        (output,) = model.eval()(batch[:1])
    instances = output["instances"]
    assert len(instances)
    assert instances.pred_classes.max() < NUM_CLASSES
    assert not cfg.MODEL.MASK_ON or instances.has("pred_masks")
    assert not cfg.MODEL.KEYPOINT_ON or instances.has("pred_keypoints")
    return losses


@pytest.mark.parametrize("case", MODELS)
def test_one_key(case):
    name, overrides = MODELS[case]
    if case == "keypoints":
        overrides += ("MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE", 0)
    cfg = small_zoo_config(name, *overrides)
    check_names(cfg)
    train_and_predict(cfg, keypoints(tiny_batch((3, 2))) if case == "keypoints" else tiny_batch((3, 2)))


@pytest.mark.parametrize("objects", [(0, 0), (0, 2)])
def test_c4_without_objects(objects):
    cfg = small_zoo_config(*MODELS["c4"][:1], *MODELS["c4"][1])
    torch.manual_seed(0)
    model = build_model(cfg).train()
    assert isinstance(model.roi_heads.mask_head, NormedMaskHead)
    with EventStorage():
        losses = model(tiny_batch(objects))
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())


def test_c4_with_cross_entropy_is_detectron2s():
    """Test that with the same layers and cross-entropy, all losses equal those of Detectron2's C4 model."""
    ours = small_zoo_config(
        MASK_RCNN.format("C4"),
        *(HEADS, "SeesawRes5ROIHeads", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss"),
        *("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"),
    )
    theirs = small_zoo_config(MASK_RCNN.format("C4"))
    models = [build_model(cfg).train() for cfg in (ours, theirs)]
    models[0].load_state_dict(models[1].state_dict())
    found = []
    for model in models:
        torch.manual_seed(0)
        with EventStorage():
            found.append(model(tiny_batch((3, 2))))
    assert found[0].keys() == found[1].keys()
    for name, value in found[1].items():
        torch.testing.assert_close(found[0][name], value, msg=name)


def pointrend(head: str, *overrides):
    projects = pytest.importorskip("detectron2.projects.point_rend", reason="this Detectron2 has no PointRend")
    options = [
        *("MODEL.ROI_MASK_HEAD.POOLER_TYPE", "", "MODEL.ROI_MASK_HEAD.NAME", head, "MODEL.ROI_MASK_HEAD.FC_DIM", 16),
        *("MODEL.POINT_HEAD.NUM_CLASSES", NUM_CLASSES, "MODEL.POINT_HEAD.FC_DIM", 8),
        *("MODEL.ROI_MASK_HEAD.POINT_HEAD_ON", True, "MODEL.POINT_HEAD.SUBDIVISION_STEPS", 2),
    ]
    if head.startswith("Implicit"):
        options += ["MODEL.POINT_HEAD.NAME", "ImplicitPointHead"]
    return small_zoo_config(MASK_RCNN.format("FPN"), *options, *overrides, add=projects.add_pointrend_config)


CASCADE = (HEADS, "SeesawCascadeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", True)
POINTREND = {
    "standard": ("PointRendMaskHead", HEADS, "SeesawROIHeads", "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True),
    "implicit": ("ImplicitPointRendMaskHead", HEADS, "SeesawROIHeads"),
    "cascade": ("PointRendMaskHead", *CASCADE),
}


@pytest.mark.parametrize("case", POINTREND)
def test_pointrend(case):
    cfg = pointrend(*POINTREND[case])
    check_names(cfg)
    losses = train_and_predict(cfg, tiny_batch((3, 2)))
    assert any("mask" in name for name in losses)


@pytest.mark.parametrize("heads", ["SeesawROIHeads", "SeesawCascadeROIHeads", "StandardROIHeads"])
@pytest.mark.parametrize("mask_head", ["NormedMaskHead", "SelectiveMaskHead"])
def test_mask_heads_that_need_pooling_in_a_pointrend_config(heads, mask_head):
    cascade = ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "Cascade" in heads)
    cfg = pointrend("PointRendMaskHead", HEADS, heads, "MODEL.ROI_MASK_HEAD.NAME", mask_head, *cascade)
    with pytest.raises(ConfigError, match=rf"MODEL\.ROI_MASK_HEAD\.POOLER_TYPE.*{mask_head}"):
        build_model(cfg)


COARSE = "MODEL.POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME"


def test_points_of_semantic_segmentation_are_refused():
    pytest.importorskip("detectron2.projects.point_rend", reason="this Detectron2 has no PointRend")
    head = "MODEL.SEM_SEG_HEAD"
    options = (f"{head}.NAME", "PointRendSemSegHead", COARSE, "SeesawSemSegFPNHead")
    cfg = pointrend("PointRendMaskHead", "MODEL.META_ARCHITECTURE", "SemanticSegmentor", *options)
    with pytest.raises(ConfigError, match=r"^MODEL\.SEM_SEG_HEAD\.NAME: .*PointRendSemSegHead"):
        build_model(cfg)


@pytest.mark.parametrize(
    ("config", "overrides", "key"),
    [
        (MASK_RCNN.format("C4"), (HEADS, "SeesawROIHeads"), "MODEL.ROI_BOX_HEAD.NAME"),
        (MASK_RCNN.format("C4"), (HEADS, "SeesawCascadeROIHeads"), "MODEL.ROI_BOX_HEAD.NAME"),
        (MASK_RCNN.format("C4"), (), "MODEL.ROI_BOX_HEAD.NAME.*SeesawRes5ROIHeads"),
        (MASK_RCNN.format("FPN"), (HEADS, "SeesawRes5ROIHeads"), "MODEL.ROI_BOX_HEAD.NAME"),
        (MASK_RCNN.format("C4"), (HEADS, "SeesawRes5ROIHeads", "MODEL.KEYPOINT_ON", True), "MODEL.KEYPOINT_ON"),
        (MASK_RCNN.format("FPN"), (HEADS, "RROIHeads"), "MODEL.ROI_HEADS.NAME.*RROIHeads"),
        (
            "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml",
            (
                *(HEADS, "SeesawCascadeROIHeads", "MODEL.META_ARCHITECTURE", "PanopticFPN"),
                *("MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT", 0.5),
            ),
            "MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT.*0.5",
        ),
        (
            MASK_RCNN.format("FPN"),
            (HEADS, "SeesawROIHeads", "MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlignRotated"),
            "MODEL.ROI_BOX_HEAD.POOLER_TYPE.*ROIAlignRotated",
        ),
        (
            MASK_RCNN.format("C4"),
            (HEADS, "SeesawRes5ROIHeads", "MODEL.PROPOSAL_GENERATOR.NAME", "TridentRPN"),
            "MODEL.PROPOSAL_GENERATOR.NAME.*TridentRPN",
        ),
    ],
)
def test_refused_before_training(config, overrides, key):
    with pytest.raises(ConfigError, match=key):
        check_names(small_zoo_config(config, *overrides))
