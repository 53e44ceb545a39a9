"""Test that each config of Detectron2's model zoo trains with a loss of this package after one key, or is refused."""

from pathlib import Path

import pytest
import torch
import torchvision
from detectron2 import model_zoo
from detectron2.layers import deform_conv
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import ClassificationLoss, SeesawLoss
from seesaw_d2.train.preflight.config_checks import check_names
from tests.modeling.small_zoo import small_zoo_config
from tests.modeling.test_detectron2_models import keypoints
from tests.modeling.tiny import NUM_CLASSES, SIZE, tiny_batch

# Config key -> dict from Detectron2's name to the name of this package.
ONE_KEY = {
    "MODEL.ROI_HEADS.NAME": {
        "StandardROIHeads": "SeesawROIHeads",
        "Res5ROIHeads": "SeesawRes5ROIHeads",
        "CascadeROIHeads": "SeesawCascadeROIHeads",
    },
    "MODEL.META_ARCHITECTURE": {"RetinaNet": "LongTailRetinaNet"},
    "MODEL.SEM_SEG_HEAD.NAME": {"SemSegFPNHead": "SeesawSemSegFPNHead"},
}
SAMPLE = (  # one config of each kind that test_detectron2_models.py does not test
    "COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_giou.yaml",
    "Cityscapes/mask_rcnn_R_50_FPN.yaml",
    "Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic.yaml",
    "Misc/panoptic_fpn_R_101_dconv_cascade_gn_3x.yaml",
    "PascalVOC-Detection/faster_rcnn_R_50_C4.yaml",
    "quick_schedules/mask_rcnn_R_50_FPN_pred_boxes_training_acc_test.yaml",
)
ROOT = Path(model_zoo.get_config_file(SAMPLE[0])).parents[1]
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.yaml"))


def convolution(x, offset, weight, stride, padding, dilation, groups, deformable_groups):
    """Replace Detectron2's compiled operator for deformable convolution."""
    return torchvision.ops.deform_conv2d(x, offset, weight, None, stride, padding, dilation)


def modulated(x, offset, mask, weight, bias, stride, padding, dilation, groups, deformable_groups):
    return torchvision.ops.deform_conv2d(x, offset, weight, bias, stride, padding, dilation, mask)


def one_key(name: str):
    """Return a small config with this package's name in place of Detectron2's, and the key that changed."""
    plain = small_zoo_config(name)
    kinds = {"SemanticSegmentor": "MODEL.SEM_SEG_HEAD.NAME", "RetinaNet": "MODEL.META_ARCHITECTURE"}
    key = kinds.get(plain.MODEL.META_ARCHITECTURE, "MODEL.ROI_HEADS.NAME")
    node, last = plain, key.split(".")[-1]
    for part in key.split(".")[:-1]:
        node = node[part]
    options = [key, ONE_KEY[key][node[last]], "MODEL.RETINANET.NUM_CLASSES", NUM_CLASSES]
    options += ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", NUM_CLASSES, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32]
    if "LongTail" in options[1]:
        options += ["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss"]
    if "GN" in (plain.MODEL.FPN.NORM, plain.MODEL.ROI_BOX_HEAD.NORM, plain.MODEL.ROI_MASK_HEAD.NORM):
        for wide in ("FPN.OUT_CHANNELS", "ROI_BOX_HEAD.CONV_DIM", "ROI_MASK_HEAD.CONV_DIM"):
            options += [f"MODEL.{wide}", 32]  # group normalization has 32 groups
    if plain.MODEL.RESNETS.NUM_GROUPS > 1:
        options += ["MODEL.RESNETS.NUM_GROUPS", 2]
    if plain.MODEL.KEYPOINT_ON:
        options += ["MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE", 0]
    return small_zoo_config(name, *options)


def batch(cfg):
    found = keypoints(tiny_batch((3, 2))) if cfg.MODEL.KEYPOINT_ON else tiny_batch((3, 2))
    for each in found:
        each["sem_seg"] = torch.arange(SIZE * SIZE).view(SIZE, SIZE) % NUM_CLASSES
        each["proposals"] = Instances((SIZE, SIZE), proposal_boxes=each["instances"].gt_boxes.clone())
        each["proposals"].objectness_logits = torch.zeros(len(each["proposals"]))
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=() if each in SAMPLE else pytest.mark.slow) for each in CONFIGS]
)
def test_one_key(name, monkeypatch):
    monkeypatch.setattr(deform_conv, "deform_conv", convolution)
    monkeypatch.setattr(deform_conv, "modulated_deform_conv", modulated)
    cfg = one_key(name)
    if any(cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE) and not issubclass(deform_conv.DeformConv, torch.nn.Module):
        pytest.skip("Detectron2's main branch has deformable convolutions only with compiled code")
    if cfg.MODEL.META_ARCHITECTURE == "ProposalNetwork":
        with pytest.raises(ConfigError, match=r"MODEL\.META_ARCHITECTURE.*ProposalNetwork"):
            check_names(cfg)
        return
    check_names(cfg)
    torch.manual_seed(0)
    model = build_model(cfg).train()
    with EventStorage():
        losses = model(batch(cfg))
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    found = [each for each in model.modules() if isinstance(each, ClassificationLoss)]
    assert found
    assert all(each.class_counts.sum() > 0 for each in found if isinstance(each, SeesawLoss))
    if not cfg.MODEL.KEYPOINT_ON:  # Detectron2 asserts finite heat maps, which random weights do not always give
        with torch.no_grad():
            assert model.eval()(batch(cfg)[:1])[0]
