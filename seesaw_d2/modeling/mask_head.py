"""Define mask heads whose last layer computes the mask of only one category for each region, which saves memory.

Shapes: R regions of a batch, C categories (1 if class-agnostic), D channels, M x M mask pixels.
"""

import math
from typing import ClassVar

import torch
from detectron2.config import configurable
from detectron2.layers import cat
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY
from detectron2.modeling.roi_heads.mask_head import (
    MaskRCNNConvUpsampleHead,
    mask_rcnn_inference,
)

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.fewer_gpu_syncs.mask_loss import mask_loss
from seesaw_d2.modeling.heads_checks import check_mask_pooling
from seesaw_d2.modeling.normalized_layers import NormedConv2d, one_filter_each
from seesaw_d2.utils.declared_keys import added_value


@ROI_MASK_HEAD_REGISTRY.register()
class SelectiveMaskHead(MaskRCNNConvUpsampleHead):
    """``MaskRCNNConvUpsampleHead`` that computes only the mask of the category of each region, to save memory.

    The category of a region is the ground truth in training and the prediction at inference. Arguments, parameters,
    results and gradients equal those of ``MaskRCNNConvUpsampleHead``, which computes the mask logits of all categories
    and uses those of only one category for each region. With 1203 categories (LVIS) and 256 regions, all logits need
    1 GB, and their gradient needs another 1 GB.
    """

    @classmethod
    def from_config(cls, cfg, input_shape):
        check_mask_pooling(cfg)
        return super().from_config(cfg, input_shape)

    def forward(self, x, instances):
        """Return the losses in training. At inference, add ``pred_masks`` to ``instances`` and return ``instances``.

        Args:
            x: features of R regions, (R, D, M/2, M/2), where M x M is the size of the masks.
            instances: one ``Instances`` for each image, with R regions in total.
        """
        for layer in list(self)[:-1]:
            x = layer(x)
        logits = self.selected_logits(x, self._classes(instances, x))  # (regions, 1, height, width)
        if self.training:
            return {"loss_mask": mask_loss(logits, instances, self.vis_period) * self.loss_weight}
        mask_rcnn_inference(logits, instances)
        return instances

    def selected_logits(self, x, class_index):
        """Return the mask logits of only one category per region, ``predictor(x)[r, class_index[r]]`` for region r.

        Args:
            x: features of R regions, (R, channels, M, M).
            class_index: category of each region, int64 (R,).

        Returns:
            (R, 1, M, M).
        """
        logits = one_filter_each(x, self.predictor.weight.flatten(1)[class_index])
        return logits + self.predictor.bias[class_index].view(-1, 1, 1, 1).to(logits.dtype)

    def _classes(self, instances, x):
        """Return the category of each region, int64 (regions,), or zeros for class-agnostic masks.

        The category is the ground truth in training and the prediction at inference.

        Args:
            instances: one ``Instances`` for each image.
            x: features of the regions, which define the number of regions and the device.
        """
        if self.predictor.out_channels == 1:
            return x.new_zeros(x.shape[0], dtype=torch.int64)
        if not self.training:  # no special case for 0 regions, because tracing records only one case
            return cat([i.pred_classes for i in instances], dim=0)
        classes = [i.gt_classes for i in instances if len(i)]
        return cat(classes, dim=0) if classes else x.new_zeros(0, dtype=torch.int64)


@ROI_MASK_HEAD_REGISTRY.register()
class NormedMaskHead(SelectiveMaskHead):
    """Mask head whose last layer is a ``NormedConv2d`` (Seesaw Loss paper, section 3.3).

    The paper calls this layer "Normalized Mask Prediction".

    Reference: mmdet 3.3.0, ``FCNMaskHead`` with ``NormedConv2d``. The reference computes the masks of all C categories
    for each region. This head computes the mask of only one category, as ``SelectiveMaskHead`` does.

    Args:
        input_shape, num_classes, conv_dims, conv_norm, kwargs: as in ``MaskRCNNConvUpsampleHead``.
        temperature: > 0, temperature of the ``NormedConv2d``.

    Raises:
        ValueError: ``temperature`` is not positive.
    """

    config_keys: ClassVar[tuple[str, ...]] = ("MODEL.ROI_MASK_HEAD.TEMPERATURE",)

    @configurable
    def __init__(self, input_shape, *, num_classes, conv_dims, conv_norm="", temperature=20.0, **kwargs):
        super().__init__(input_shape, num_classes=num_classes, conv_dims=conv_dims, conv_norm=conv_norm, **kwargs)
        self.predictor = NormedConv2d(conv_dims[-1], num_classes, kernel_size=1, temperature=temperature)

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        ret["temperature"] = added_value(cfg, "MODEL.ROI_MASK_HEAD.TEMPERATURE")
        if not 0 < ret["temperature"] < math.inf:
            expected = "a finite number > 0"
            raise ConfigError(f"MODEL.ROI_MASK_HEAD.TEMPERATURE: expected {expected}, found {ret['temperature']}")
        return ret

    def selected_logits(self, x, class_index):
        return self.predictor.forward_selected(x, class_index)
