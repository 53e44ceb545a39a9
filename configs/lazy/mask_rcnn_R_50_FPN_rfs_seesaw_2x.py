"""Define configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml as a LazyConfig: the same model and recipe."""

from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper, build_detection_test_loader
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler

from seesaw_d2.compat import lazy_config
from seesaw_d2.data import build_repeat_factor_loader, load_dataset
from seesaw_d2.evaluation import LongTailEvaluator
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling import BatchedRPN, FixedStatisticsBatchNorm2d, SeesawBoxPredictor, SeesawROIHeads

model = lazy_config("common/models/mask_rcnn_fpn.py").model
model.update(
    input_format="RGB",
    pixel_mean=[123.675, 116.28, 103.53],
    pixel_std=[58.395, 57.12, 57.375],
)
model.proposal_generator._target_ = BatchedRPN  # Detectron2's RPN with fewer GPU synchronizations
model.backbone.bottom_up.freeze_at = 2
model.backbone.bottom_up.stem.norm = model.backbone.bottom_up.stages.norm = FixedStatisticsBatchNorm2d
model.backbone.bottom_up.stages.stride_in_1x1 = False
model.roi_heads.update(_target_=SeesawROIHeads, num_classes=1203)
model.roi_heads.box_predictor.update(
    _target_=SeesawBoxPredictor,
    cls_loss=L(SeesawLoss)(num_classes="${...num_classes}"),
    test_score_thresh=0.0001,
    test_topk_per_image=300,
)

dataloader = lazy_config("common/data/coco.py").dataloader
dataloader.train = L(build_repeat_factor_loader)(
    names=["lvis_v1_train"],
    mapper=dataloader.train.mapper,
    repeat_threshold=0.001,
    rounding="ceil",
    total_batch_size=16,
    num_workers=4,
)
dataloader.train.mapper.image_format = "RGB"
dataloader.test = L(build_detection_test_loader)(
    dataset=L(load_dataset)(name="lvis_v1_val"),
    mapper=L(DatasetMapper)(
        is_train=False, augmentations=dataloader.test.mapper.augmentations, image_format=model.input_format
    ),
    num_workers=4,
)
dataloader.evaluator = L(LongTailEvaluator)(
    dataset_name="${..test.dataset.name}",
    tasks=["bbox", "segm"],
    output_dir="${train.output_dir}/inference/${dataloader.test.dataset.name}",
)

optimizer = lazy_config("common/optim.py").SGD
optimizer.params.weight_decay_norm = 0.0001

# Train for 24 epochs of LVIS v1, with repeat factors that are rounded up (docs/sampling.md). The learning rate
# decreases after 16 and 22 epochs. max_iter is in iterations, because LazyConfigs do not support SOLVER.EPOCHS.
train = lazy_config("common/train.py").train
train.update(
    init_checkpoint="torchvision://resnet50",
    output_dir="output/lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x",
    max_iter=186432,
    eval_period=0,
    checkpointer={"period": 10000, "max_to_keep": 100},
)
lr_multiplier = L(WarmupParamScheduler)(
    # The milestones are in epochs. Only the ratios of the milestones matter, because they scale with train.max_iter.
    scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1, 0.01], milestones=[16, 22, 24]),
    warmup_length=500 / train.max_iter,
    warmup_factor=0.001,
)
