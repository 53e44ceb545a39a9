"""List the keys and values that the converter supports in each dict of an MMDetection config.

The class ``Part`` describes one dict, such as ``model.backbone``. A dict has three kinds of keys:

- Fixed keys: the value must be one of the values that the models of this project support.
- Carried keys: the converter translates them to config keys of this project (``mmdet_settings``, ``mmdet_images``).
- Free keys: the converter ignores them, because they do not affect detections.

The converter rejects all other keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """Supported keys of one dict in an MMDetection config, such as ``model.backbone``.

    Attributes:
        fixed: dict from key to the tuple of values that the models of this project support. Other values are problems.
        free: keys with any value. They do not affect detections, or their values follow from the parameter shapes.
        carried: keys that ``mmdet_settings`` or ``mmdet_images`` translates to config keys of this project.
    """

    fixed: Mapping[str, tuple] = field(default_factory=dict)
    free: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()

    def problems(self, found: Mapping[str, Any], where: str) -> list[str]:
        """Return one line for each unknown key and each unsupported value of a dict in an MMDetection config.

        Args:
            found: the dict.
            where: path of the dict in the config, such as "model.backbone", with which the lines begin.
        """
        lines = []
        for key, value in found.items():
            if key in self.fixed and value not in self.fixed[key]:
                expected = " or ".join(map(repr, self.fixed[key]))
                lines.append(f"{where}.{key}: expected {expected}, found {_short(value)}")
            elif key not in self.fixed and key not in self.free and key not in self.carried:
                lines.append(f"{where}.{key}: unknown key with the value {_short(value)}")
        return lines


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _part(*, free: str = "", carried: str = "", **fixed: tuple) -> Part:
    """Return a ``Part``. ``free`` and ``carried`` are key names separated by spaces. ``fixed`` maps keys to values."""
    return Part(fixed, frozenset(free.split()), frozenset(carried.split()))


_PLAIN = {"conv_cfg": (None,), "norm_cfg": (None,)}
MODEL = _part(
    type=("MaskRCNN", "CascadeRCNN", "FasterRCNN"),
    free="train_cfg init_cfg pretrained",
    carried="data_preprocessor backbone neck rpn_head roi_head test_cfg",
)
BACKBONE = _part(
    type=("ResNet",),
    in_channels=(3,),
    num_stages=(4,),
    strides=([1, 2, 2, 2],),
    dilations=([1, 1, 1, 1],),
    out_indices=([0, 1, 2, 3],),
    deep_stem=(False,),
    avg_down=(False,),
    conv_cfg=(None,),
    dcn=(None,),
    plugins=(None,),
    free="depth stem_channels base_channels frozen_stages norm_eval with_cp zero_init_residual pretrained init_cfg "
    "stage_with_dcn",
    carried="style norm_cfg",
)
NORM = _part(type=("BN", "SyncBN", "MMSyncBN", "naiveSyncBN"), eps=(1e-5,), free="requires_grad momentum")
NECK = _part(
    type=("FPN",),
    num_outs=(5,),
    start_level=(0,),
    end_level=(-1, 3),
    add_extra_convs=(False,),
    relu_before_extra_convs=(False,),
    upsample_cfg=({"mode": "nearest"},),
    act_cfg=(None,),
    **_PLAIN,
    free="in_channels out_channels no_norm_on_lateral init_cfg",
)
RPN_HEAD = _part(
    type=("RPNHead",),
    num_classes=(1,),
    num_convs=(1,),
    free="in_channels feat_channels loss_cls loss_bbox init_cfg reg_decoded_bbox train_cfg",
    carried="anchor_generator bbox_coder test_cfg",
)
ANCHORS = _part(
    type=("AnchorGenerator",),
    strides=([4, 8, 16, 32, 64],),
    base_sizes=(None,),
    scale_major=(True,),
    octave_base_scale=(None,),
    scales_per_octave=(None,),
    centers=(None,),
    center_offset=(0,),
    use_box_type=(False,),
    carried="scales ratios",
)
CODER = _part(
    type=("DeltaXYWHBBoxCoder",),
    target_means=([0, 0, 0, 0],),
    clip_border=(True,),
    add_ctr_clamp=(False,),
    use_box_type=(False,),
    encode_size=(4,),
    free="ctr_clamp",
    carried="target_stds",
)
ROI_HEAD = _part(
    type=("StandardRoIHead", "CascadeRoIHead"),
    num_stages=(3,),
    shared_head=(None,),
    free="stage_loss_weights train_cfg pretrained init_cfg",
    carried="bbox_roi_extractor bbox_head mask_roi_extractor mask_head test_cfg",
)
EXTRACTOR = _part(
    type=("SingleRoIExtractor",),
    featmap_strides=([4, 8, 16, 32],),
    finest_scale=(56,),
    free="out_channels init_cfg",
    carried="roi_layer",
)
ROI_LAYER = _part(
    type=("RoIAlign",),
    pool_mode=("avg",),
    free="use_torchvision",
    carried="output_size out_size sampling_ratio sample_num aligned",
)
BOX_HEAD = _part(
    type=("Shared2FCBBoxHead", "ConvFCBBoxHead"),
    num_shared_convs=(0,),
    num_cls_convs=(0,),
    num_cls_fcs=(0,),
    num_reg_convs=(0,),
    num_reg_fcs=(0,),
    with_avg_pool=(False,),
    with_cls=(True,),
    with_reg=(True,),
    predict_box_type=("box",),
    reg_predictor_cfg=({"type": "Linear"},),
    **_PLAIN,
    free="in_channels fc_out_channels roi_feat_size num_classes reg_class_agnostic reg_decoded_bbox loss_bbox init_cfg "
    "num_shared_fcs conv_out_channels",
    carried="bbox_coder cls_predictor_cfg loss_cls",
)
# The converter ignores p, q and eps of Seesaw Loss, because they affect only training.
SEESAW = _part(type=("SeesawLoss",), use_sigmoid=(False,), free="p q eps num_classes reduction loss_weight return_dict")
NORMED_LINEAR = _part(
    type=("NormedLinear",), power=(1,), eps=(1e-6,), free="in_features out_features", carried="tempearture"
)
LINEAR = _part(type=("Linear",), free="in_features out_features")
MASK_HEAD = _part(
    type=("FCNMaskHead",),
    upsample_cfg=({"type": "deconv", "scale_factor": 2}, {"type": "deconv"}),
    **_PLAIN,
    free="num_convs in_channels conv_out_channels conv_kernel_size num_classes class_agnostic roi_feat_size loss_mask "
    "init_cfg",
    carried="predictor_cfg",
)
NORMED_CONV = _part(type=("NormedConv2d",), power=(1,), eps=(1e-6,), norm_over_kernel=(False,), carried="tempearture")
CONV = _part(type=("Conv", "Conv2d"))
TEST_RPN = _part(
    nms_across_levels=(False,),
    carried="nms_pre nms_post max_per_img max_num nms nms_thr min_bbox_size",
)
TEST_RCNN = _part(mask_thr_binary=(0.5,), carried="score_thr nms max_per_img")
NMS = _part(type=("nms",), class_agnostic=(False,), max_num=(-1,), free="split_thr", carried="iou_threshold iou_thr")
PREPROCESSOR = _part(
    type=("DetDataPreprocessor",),
    pad_size_divisor=(32,),
    pad_value=(0,),
    free="pad_mask pad_seg mask_pad_value seg_pad_value batch_augments boxtype2tensor non_blocking",
    carried="mean std bgr_to_rgb rgb_to_bgr",
)
NORMALIZE = _part(type=("Normalize",), carried="mean std to_rgb")
LOAD = _part(
    type=("LoadImageFromFile",),
    to_float32=(False,),
    color_type=("color",),
    imdecode_backend=("cv2", "pillow", None),
    channel_order=("bgr",),
    ignore_empty=(False,),
    free="file_client_args backend_args",
)
RESIZE = _part(
    type=("Resize",),
    keep_ratio=(True,),
    interpolation=("bilinear",),
    multiscale_mode=("range",),
    ratio_range=(None,),
    bbox_clip_border=(True,),
    override=(False,),
    scale_factor=(None,),
    free="clip_object_border",
    carried="img_scale scale backend",
)
AUGMENTED = _part(
    type=("MultiScaleFlipAug",),
    flip=(False,),
    scale_factor=(None,),
    free="flip_direction",
    carried="img_scale transforms",
)
PAD = _part(type=("Pad",), size_divisor=(32,), size=(None,), pad_to_square=(False,), pad_val=(0, {"img": 0}))
# Transforms of MMDetection's test pipelines that do not change pixels. The converter ignores them.
NO_EFFECT = ("ImageToTensor", "DefaultFormatBundle", "DefaultFormatBundle3D", "Collect", "LoadAnnotations")
NO_EFFECT += ("PackDetInputs", "ToTensor")
