"""Provide config texts of MMDetection 2 and 3 checkpoints, with all settings that affect detections."""

_HEAD = """
        dict(
            type='Shared2FCBBoxHead', in_channels=256, fc_out_channels=1024, roi_feat_size=7, num_classes=1203,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0], target_stds=STDS),
            reg_class_agnostic=AGNOSTIC,
            cls_predictor_cfg=dict(type='NormedLinear', tempearture=20),
            loss_cls=dict(type='SeesawLoss', p=0.8, q=2.0, num_classes=1203, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0))"""
_MODEL = """
model = dict(
    type='TYPE',PREPROCESSOR
    backbone=dict(
        type='ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True), norm_eval=True, style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    rpn_head=dict(
        type='RPNHead', in_channels=256, feat_channels=256,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    roi_head=dict(
        type='ROI_HEAD',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=256, featmap_strides=[4, 8, 16, 32]),
        bbox_head=HEADS,
        mask_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256, featmap_strides=[4, 8, 16, 32]),
        mask_head=dict(
            type='FCNMaskHead', num_convs=4, in_channels=256, conv_out_channels=256, num_classes=1203,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0)MASK)),
    train_cfg=dict(rcnn=dict(sampler=dict(type='RandomSampler', num=512), mask_size=28)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            score_thr=0.0001, nms=dict(type='nms', iou_threshold=0.5), max_per_img=300, mask_thr_binary=0.5)))
"""
_PREPROCESSOR = """
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
        pad_mask=True, pad_size_divisor=32),"""
_NEW = """
backend_args = None
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
test_dataloader = dict(
    batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='LVISV1Dataset', data_root='data/lvis_v1/', pipeline=[
        dict(type='LoadImageFromFile', backend_args=None),
        dict(type='Resize', scale=(1333, 800), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=24)
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
"""
_OLD = """
dataset_type = 'LVISV1Dataset'
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
data = dict(
    samples_per_gpu=2,
    train=dict(type='LVISV1Dataset', pipeline=[dict(type='Resize'), dict(type='RandomFlip', flip_ratio=0.5)]),
    test=dict(type='LVISV1Dataset', pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='MultiScaleFlipAug', img_scale=(1333, 800), flip=False, transforms=[
            dict(type='Resize', keep_ratio=True),
            dict(type='RandomFlip'),
            dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
            dict(type='Pad', size_divisor=32),
            dict(type='ImageToTensor', keys=['img']),
            dict(type='Collect', keys=['img'])])]))
optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
work_dir = './work_dirs/mine'
"""
_STDS = ("[0.1, 0.1, 0.2, 0.2]", "[0.05, 0.05, 0.1, 0.1]", "[0.033, 0.033, 0.067, 0.067]")


def mmdet_text(version: int, *, cascade: bool = False, normed_mask: bool = False) -> str:
    """Return the config text of a Seesaw Loss model of MMDetection 2 or 3."""
    stages = [_HEAD.replace("STDS", stds).replace("AGNOSTIC", str(cascade)) for stds in _STDS]
    values = {
        "TYPE": "CascadeRCNN" if cascade else "MaskRCNN",
        "PREPROCESSOR": _PREPROCESSOR if version == 3 else "",
        "ROI_HEAD": "CascadeRoIHead" if cascade else "StandardRoIHead",
        "HEADS": f"[{','.join(stages)}]" if cascade else stages[0].strip(),
        "MASK": ",\n            predictor_cfg=dict(type='NormedConv2d', tempearture=20)" if normed_mask else "",
    }
    text = _MODEL
    for name, value in values.items():
        text = text.replace(name, value)
    return text + (_NEW if version == 3 else _OLD)


def edited(text: str, old: str, new: str) -> str:
    """Return the text with one part replaced. Raise an error if the text does not contain this part."""
    assert old in text
    return text.replace(old, new)
