"""Define a semantic segmentation head for the classification losses of this package."""

import math
from typing import ClassVar

import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import Conv2d
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument
from seesaw_d2.losses.build import LOSS_REGISTRY, build_loss
from seesaw_d2.modeling.box_predictor import PREDICTOR_KEYS
from seesaw_d2.modeling.building import check_program
from seesaw_d2.modeling.classifier_checks import check_classifier_config
from seesaw_d2.modeling.normalized_layers import NormedConv2d
from seesaw_d2.utils.distributed import share_of_mean

CLASSIFIERS = ("NormedLinear", "Linear")  # valid values of the argument ``cls_predictor``


@SEM_SEG_HEADS_REGISTRY.register()
class SeesawSemSegFPNHead(SemSegFPNHead):
    """Detectron2's ``SemSegFPNHead`` with Seesaw Loss or cross-entropy over the labelled pixels.

    A pixel is labelled if its label is not ``ignore_value``. In distributed training, the loss is an average over the
    labelled pixels of all processes, and Seesaw Loss counts these pixels. In a single process, this head with
    cross-entropy and a linear classifier is equivalent to ``SemSegFPNHead``.

    Args:
        input_shape, num_classes, conv_dims, kwargs: as in ``SemSegFPNHead``.
        cls_loss: a loss with ``background="none"`` whose attribute ``takes_maps`` is True.
        cls_predictor: "NormedLinear" for a 1 x 1 ``NormedConv2d``, or "Linear" for a 1 x 1 ``Conv2d``.
        temperature: > 0, temperature of the ``NormedConv2d``.

    Raises:
        ValueError: the loss models background, does not take maps or has a wrong number of classes, or
            ``cls_predictor`` is unknown.
    """

    config_keys: ClassVar[tuple[str, ...]] = PREDICTOR_KEYS

    @configurable
    def __init__(
        self,
        input_shape,
        *,
        num_classes: int,
        conv_dims: int,
        cls_loss: ClassificationLoss,
        cls_predictor: str = "Linear",
        temperature: float = 20.0,
        **kwargs,
    ):
        # Pass input_shape by keyword. In a LazyConfig, input_shape is a DictConfig. As first positional argument,
        # Detectron2 would mistake it for the config of a model and call from_config.
        super().__init__(input_shape=input_shape, num_classes=num_classes, conv_dims=conv_dims, **kwargs)
        if not cls_loss.takes_maps or cls_loss.background != "none" or cls_loss.num_classes != num_classes:
            expected = f'a loss with num_classes={num_classes}, background="none" and takes_maps=True'
            raise InvalidArgument("cls_loss", expected, cls_loss)
        if cls_predictor not in CLASSIFIERS:
            raise InvalidArgument("cls_predictor", f"one of {', '.join(CLASSIFIERS)}", cls_predictor)
        self.cls_loss = cls_loss
        if cls_predictor == "NormedLinear":
            self.predictor = NormedConv2d(conv_dims, num_classes, kernel_size=1, temperature=temperature)
        else:
            self.predictor = Conv2d(conv_dims, num_classes, kernel_size=1)
            c2_msra_fill(self.predictor)

    @classmethod
    def from_config(cls, cfg, input_shape):
        check_semantic_config(cfg)
        check_feature_maps(cfg.MODEL.SEM_SEG_HEAD, {name: each.stride for name, each in input_shape.items()})
        ret = super().from_config(cfg, input_shape)
        node = cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR
        return {
            **ret,
            "cls_loss": build_loss(cfg, ret["num_classes"], has_background=False),
            "cls_predictor": node.NAME,
            "temperature": node.TEMPERATURE,
        }

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return a dict with the scalar loss, averaged over the labelled pixels of all processes.

        Args:
            predictions: logits (images, classes, h, w), which this method upsamples to the size of the labels.
            targets: labels (images, height, width). Pixels with the label ``ignore_value`` are not labelled.
        """
        logits = F.interpolate(
            predictions.float(), scale_factor=self.common_stride, mode="bilinear", align_corners=False
        )
        loss = self.cls_loss(logits, targets, ignore_index=self.ignore_value)["loss_cls"]
        share = share_of_mean((targets != self.ignore_value).sum(), loss)
        return {"loss_sem_seg": loss * share * self.loss_weight}


def check_feature_maps(node, strides: dict[str, int]) -> None:
    """Raise ConfigError if MODEL.SEM_SEG_HEAD.IN_FEATURES or COMMON_STRIDE does not match the backbone.

    IN_FEATURES must name outputs of the backbone, whose strides must be 1, 2, 4, ... times COMMON_STRIDE.

    Args:
        node: the config node MODEL.SEM_SEG_HEAD.
        strides: maps the name of each output of the backbone to its stride.
    """
    key, names = "MODEL.SEM_SEG_HEAD", node.IN_FEATURES
    if not names or not set(names) <= set(strides):
        raise ConfigError(
            f"{key}.IN_FEATURES: expected one or more outputs of the backbone ({', '.join(strides)}), found {names}"
        )
    ratios = [strides[name] / node.COMMON_STRIDE for name in names] if node.COMMON_STRIDE > 0 else [0.0]
    if any(ratio < 1 or not math.log2(ratio).is_integer() for ratio in ratios):
        raise ConfigError(
            f"{key}.COMMON_STRIDE: expected a stride such that the strides of {key}.IN_FEATURES "
            f"({', '.join(f'{name}: {strides[name]}' for name in names)}) are 1, 2, 4, ... times this stride, found "
            f"{node.COMMON_STRIDE}"
        )


def check_semantic_config(cfg) -> None:
    """Raise ConfigError if ``SeesawSemSegFPNHead`` does not support the loss or classifier.

    Also raise ConfigError if the config selects PointRend's head, which supports only cross-entropy.
    """
    check_program(cfg)
    if cfg.MODEL.SEM_SEG_HEAD.NAME == "PointRendSemSegHead":
        raise ConfigError(
            "MODEL.SEM_SEG_HEAD.NAME: expected SeesawSemSegFPNHead, found PointRendSemSegHead. PointRend's head "
            "supports only cross-entropy. To train PointRend with cross-entropy, set "
            "MODEL.POINT_HEAD.COARSE_SEM_SEG_HEAD_NAME SemSegFPNHead."
        )
    check_classifier_config(cfg.MODEL.ROI_BOX_HEAD)
    losses = [name for name, each in LOSS_REGISTRY if each.takes_maps and not each.statistics_keys]
    found = {
        "CLS_LOSS.NAME": (cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME, losses),
        "CLS_LOSS.BACKGROUND": (cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND, ["auto", "none"]),
        "CLS_PREDICTOR.NAME": (cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME, CLASSIFIERS),
    }
    for key, (value, expected) in found.items():
        if value not in expected:
            raise ConfigError(
                f"MODEL.ROI_BOX_HEAD.{key}: expected {' or '.join(expected)} with MODEL.SEM_SEG_HEAD.NAME "
                f"{cfg.MODEL.SEM_SEG_HEAD.NAME}, found {value!r}"
            )
