"""Define a LazyConfig of ViTDet's Mask R-CNN (ViT-B) on LVIS v1 with Seesaw Loss instead of the federated loss.

This config requires Detectron2's main branch. The model, the augmentation and the schedule are those of Detectron2's
projects/ViTDet/configs/LVIS/mask_rcnn_vitdet_b_100ep.py. No results have been published for this combination.
"""

from functools import partial

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L

from seesaw_d2.compat import lazy_config, vit_lr_decay_rate

from .mask_rcnn_R_50_FPN_rfs_seesaw_2x import dataloader, lr_multiplier, train
from .mask_rcnn_R_50_FPN_rfs_seesaw_2x import model as seesaw

lr_decay_rate = vit_lr_decay_rate()  # raises an error with Detectron2 v0.6
model = lazy_config("common/models/mask_rcnn_vitdet.py").model
model.roi_heads.update(
    _target_=seesaw.roi_heads._target_, num_classes=1203, box_predictor=seesaw.roi_heads.box_predictor
)
model.roi_heads.box_predictor.test_score_thresh = 0.02

# Large-scale jitter: resize by a random factor from 0.1 to 2, and crop.
dataloader.train.mapper.augmentations = [
    L(T.RandomFlip)(horizontal=True),
    L(T.ResizeScale)(min_scale=0.1, max_scale=2.0, target_height=1024, target_width=1024),
    L(T.FixedSizeCrop)(crop_size=(1024, 1024), pad=False),
]
dataloader.train.mapper.recompute_boxes = True
dataloader.train.update(rounding="stochastic", total_batch_size=64)
dataloader.test.mapper.augmentations = [L(T.ResizeShortestEdge)(short_edge_length=1024, max_size=1024)]

optimizer = lazy_config("common/optim.py").AdamW
optimizer.params.lr_factor_func = partial(lr_decay_rate, num_layers=12, lr_decay_rate=0.7)
optimizer.params.overrides = {"pos_embed": {"weight_decay": 0.0}}
optimizer.lr = 2e-4

train.update(
    init_checkpoint="detectron2://ImageNetPretrained/MAE/mae_pretrain_vit_base.pth?matching_heuristics=True",
    output_dir="output/lazy/mask_rcnn_vitdet_b_rfs_seesaw_100ep",
    max_iter=156250,  # 100 epochs of 100,000 images
    amp={"enabled": True},
)
lr_multiplier.scheduler.milestones = [138889, 150463, 156250]
lr_multiplier.warmup_length = 250 / train.max_iter
