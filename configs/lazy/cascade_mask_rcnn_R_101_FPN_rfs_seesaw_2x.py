"""Define configs/seesaw/cascade_mask_rcnn_R_101_FPN_rfs_seesaw_2x.yaml as a LazyConfig: the same model and recipe."""

from detectron2.config import LazyCall as L

from seesaw_d2.compat import lazy_config
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling import SeesawBoxPredictor, SeesawCascadeROIHeads

from .mask_rcnn_R_50_FPN_rfs_seesaw_2x import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.backbone.bottom_up.stages.depth = 101
model.proposal_generator.update(post_nms_topk=(2000, 1000), anchor_boundary_thresh=0, smooth_l1_beta=1 / 9)

plain, heads = lazy_config("common/models/cascade_rcnn.py").model.roi_heads, model.roi_heads
for name in ("box_head", "box_predictor", "proposal_matcher"):
    heads.pop(name)
heads.update(
    _target_=SeesawCascadeROIHeads,
    box_heads=plain.box_heads,
    box_predictors=plain.box_predictors,
    proposal_matchers=plain.proposal_matchers,
    mask_head=[heads.mask_head] * 3,  # one mask head for each stage, as in MMDetection
    stage_loss_weights=[1.0, 0.5, 0.25],
    scale_gradients=False,
    resample=True,
)
for head in heads.mask_head:
    head.num_classes = "${...num_classes}"
for predictor in heads.box_predictors:
    predictor.update(
        _target_=SeesawBoxPredictor,
        cls_loss=L(SeesawLoss)(num_classes="${....num_classes}"),
        smooth_l1_beta=1.0,
        test_score_thresh=0.0001,
        test_topk_per_image=300,
    )
heads.box_predictors[2].box2box_transform.weights = (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067)

train.update(
    init_checkpoint="torchvision://resnet101", output_dir="output/lazy/cascade_mask_rcnn_R_101_FPN_rfs_seesaw_2x"
)
