"""Define a mixin that adds the box predictors of this package to ROI heads of other projects, such as CenterNet2."""

from typing import Any, ClassVar

from detectron2.modeling.roi_heads import Res5ROIHeads
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.modeling.roi_heads.rotated_fast_rcnn import RotatedFastRCNNOutputLayers

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.argument_checks import Description, InvalidArgument
from seesaw_d2.modeling.box_predictor import BOX_KEYS, SeesawBoxPredictor, check_loss_keys
from seesaw_d2.modeling.object_classes import check_object_classes

# Arguments of the replaced predictor that the new one keeps, because a project can set them without a config.
_KEPT = (
    "box2box_transform",
    "box_reg_loss_type",
    "smooth_l1_beta",
    "loss_weight",
    "test_score_thresh",
    "test_nms_thresh",
    "test_topk_per_image",
)


class SeesawPredictors:
    """Mixin that replaces the box predictors in ROI heads of other projects.

    The mixin must be the first base class, as in ``class Mine(SeesawPredictors, CustomCascadeROIHeads): pass``. The
    heads must derive from ``StandardROIHeads`` or ``CascadeROIHeads`` and build the box predictors in
    ``_init_box_head``. Each stage of a cascade has its own loss and counts. With Detectron2's ``RROIHeads``, the
    predictor supports rotated boxes.

    Sampling, stages and inference of the heads do not change. The new predictors keep the box regression, the loss
    weights and the thresholds of the replaced ones. For example, the cascade heads of CenterNet2 and Detic still
    compute the score √(P(j) · proposal score) of category j if MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE is True.

    Raises:
        ConfigError: the replaced predictor does not have MODEL.ROI_HEADS.NUM_CLASSES classes, or one of these config
            keys is True:

            - MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE or USE_FED_LOSS. MODEL.ROI_BOX_HEAD.CLS_LOSS replaces these keys.
            - MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE with a single predictor, which does not support this key.
            - WITH_IMAGE_LABELS, which needs Detic's losses for image labels.

        InvalidArgument: in the definition of a subclass, this mixin is not the first base class, or the heads do not
            call ``_init_box_head`` (``Res5ROIHeads``). In both cases, the heads would keep their own predictors.
        ValueError: ``forward`` is called with an object of the class of background.
    """

    config_keys: ClassVar[tuple[str, ...]] = BOX_KEYS
    num_classes: int

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        builders = [each for each in cls.__mro__ if "_init_box_head" in vars(each)]
        if not issubclass(builders[0], SeesawPredictors):
            found = Description(f"{builders[0].__name__} before SeesawPredictors")
            raise InvalidArgument(f"bases of {cls.__name__}", "SeesawPredictors before all other ROI heads", found)
        if issubclass(cls, Res5ROIHeads):
            expected = "ROI heads that build their predictors in _init_box_head"
            advice = "For a C4 backbone, derive from SeesawRes5ROIHeads instead."
            raise InvalidArgument(f"bases of {cls.__name__}", expected, Description("Res5ROIHeads"), advice)

    def forward(self, images, features, proposals, targets=None, *args, **kwargs):
        # Detectron2's sampling synchronizes host and device for each image. This check synchronizes once more.
        check_object_classes(targets or (), self.num_classes, on_gpu=True)
        return super().forward(images, features, proposals, targets, *args, **kwargs)

    @classmethod
    def _init_box_head(cls, cfg, input_shape) -> dict[str, Any]:
        if cfg.get("WITH_IMAGE_LABELS", False):
            raise ConfigError(
                f"WITH_IMAGE_LABELS: expected False with {cls.__name__}, found True. The losses of {cls.__name__} need "
                "ground-truth boxes."
            )
        own = cfg.clone()
        own.defrost()
        # The checks below reject MULT_PROPOSAL_SCORE True, but cascade heads support it: they multiply the scores.
        own.MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE = False
        check_loss_keys(own)
        ret = super()._init_box_head(cfg, input_shape)  # type: ignore[misc]
        if "box_predictors" not in ret:
            ret["box_predictor"] = _replaced(cfg, ret["box_head"], ret["box_predictor"])
            return ret
        pairs = list(zip(ret["box_heads"], ret["box_predictors"], strict=True))
        options = [{"stage": stage, "num_stages": len(pairs)} for stage in range(len(pairs))]
        ret["box_predictors"] = [_replaced(own, *pair, **each) for pair, each in zip(pairs, options, strict=True)]
        return ret


class _BoxPredictor(SeesawBoxPredictor):
    """Box predictor with the additional argument ``classifier_info``, which Detic's heads pass.

    The argument must contain only None, because Detic's open vocabulary is not supported.
    """

    def forward(self, x, classifier_info=(None, None, None)):
        if any(each is not None for each in classifier_info):
            raise ValueError(
                "classifier_info: expected (None, None, None), found a classifier. This box predictor has its own "
                "classifier for a fixed set of classes."
            )
        return super().forward(x)

    def losses(self, predictions, proposals, classifier_info=(None, None, None)):
        return super().losses(predictions, proposals)


class _RotatedBoxPredictor(_BoxPredictor, RotatedFastRCNNOutputLayers):
    """Box predictor whose method ``inference`` supports rotated boxes, for Detectron2's ``RROIHeads``."""


def _replaced(cfg, box_head, plain: FastRCNNOutputLayers, **stage: int) -> SeesawBoxPredictor:
    """Return a box predictor that replaces ``plain``, with the same box regression, loss weights and detections."""
    if plain.num_classes != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise ConfigError(
            f"MODEL.ROI_HEADS.NUM_CLASSES: expected {plain.num_classes}, the number of classes of the replaced "
            f"{type(plain).__name__}, found {cfg.MODEL.ROI_HEADS.NUM_CLASSES}"
        )
    predictor = _RotatedBoxPredictor if isinstance(plain, RotatedFastRCNNOutputLayers) else _BoxPredictor
    return predictor(cfg, box_head.output_shape, **{name: getattr(plain, name) for name in _KEPT}, **stage)
