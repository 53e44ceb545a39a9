"""Define the iterative ROI heads of PCB (Pairwise Class Balance).

In several iterations, the heads classify each proposal and then update the features of the proposal.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.structures import Boxes
from torch import Tensor, nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import InvalidArgument, check_number
from seesaw_d2.modeling.box_predictor import proposal_labels
from seesaw_d2.modeling.roi_heads import SeesawROIHeads
from seesaw_d2.utils.declared_keys import added_value

_NODE = "MODEL.ROI_ITERATIVE_HEAD"
_AGNOSTIC = "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG"
# Maps constructor arguments of IterativeROIHeads to config keys below MODEL.ROI_ITERATIVE_HEAD.
_CONFIG_KEYS = {
    "num_iterations": "NUM_ITERATIONS",
    "loss_weights": "LOSS_WEIGHTS",
    "num_fc": "NUM_FC",
    "fc_dim": "FC_DIM",
    "layer_norm": "LAYER_NORM",
}


class FeatureUpdate(nn.Module):
    """Update the pooled features of each region from the logits and box deltas of the previous iteration.

    The features x become x * location(deltas) + category(logits). The multilayer perceptron ``category`` maps the
    logits to an offset for each channel. The multilayer perceptron ``location`` maps the deltas to a factor for each
    pixel. Both have ReLU between the linear layers and PyTorch's default initialization.

    Args:
        num_logits: number of logits of a region.
        num_deltas: number of box deltas of a region, 4 for each category.
        channels: number of channels of the features.
        resolution: (height, width) of the features.
        num_fc: >= 1, number of linear layers in each of the two perceptrons.
        fc_dim: >= 1, width of the hidden layers.
        layer_norm: whether the first layer of ``category`` is a LayerNorm of the logits.
    """

    def __init__(
        self, num_logits: int, num_deltas: int, channels: int, resolution: tuple[int, int], num_fc, fc_dim, layer_norm
    ):
        super().__init__()
        height, width = resolution
        self.category = _perceptron([num_logits, *[fc_dim] * (num_fc - 1), channels], layer_norm)
        self.location = _perceptron([num_deltas, *[fc_dim] * (num_fc - 1), height * width], False)

    def forward(self, features: Tensor, logits: Tensor, deltas: Tensor) -> Tensor:
        """Return the updated features of R regions, in the shape of ``features``.

        Args:
            features: pooled features (R, channels, height, width).
            logits: (R, num_logits), from the previous iteration.
            deltas: box deltas (R, num_deltas), from the previous iteration.
        """
        count, channels, height, width = features.shape
        scale = self.location(deltas).view(count, 1, height, width)
        updated = features * scale + self.category(logits).view(count, channels, 1, 1)
        if updated.dtype == torch.float16:  # an overflow to infinity would become NaN in the next layer
            largest = torch.finfo(torch.float16).max
            updated = updated.clamp(-largest, largest)
        return updated


@ROI_HEADS_REGISTRY.register()
class IterativeROIHeads(SeesawROIHeads):
    """``SeesawROIHeads`` that classify each proposal several times and update its features between the iterations.

    A :class:`FeatureUpdate` computes the updated features.

    Source: Relieving Long-tailed Instance Segmentation via Pairwise Class Balance (He et al., CVPR 2022), section
    "iterative learning", and the authors' mmdet/models/roi_heads/iterative_roi_head.py.

    All iterations share the box head and the predictor. The classification loss is the sum of the losses of all
    iterations, weighted by ``loss_weights``. The box loss, and the scores and boxes at inference, come only from the
    last iteration. The heads pass the index of the iteration to the loss (``set_iteration``), because
    ``PairwiseClassBalance`` computes the weight of the soft labels from the index. All classification losses are
    supported. A loss that counts proposals counts each proposal once in each iteration.

    Differences from the reference:

    - The features can have any resolution and number of channels. The reference supports only 7 x 7 x 256.
    - With one iteration, the heads are equivalent to ``SeesawROIHeads``. The losses of the reference divide by zero.
    - The features are not updated after the last iteration, because no layer uses this update.

    The published models use MMDetection's Shared2FCBBoxHead, which is equivalent to Detectron2's FastRCNNConvFCHead
    with NUM_FC 2 and FC_DIM 1024.

    Args:
        pooled_channels: number of channels of the pooled features.
        num_iterations: integer >= 1.
        loss_weights: one number >= 0 for each iteration.
        num_fc, fc_dim, layer_norm: as in :class:`FeatureUpdate`. The authors use 2 layers with width 512, and
            ``layer_norm`` only with EQL v2.
        kwargs: arguments of ``StandardROIHeads``, with ``box_predictor=SeesawBoxPredictor(...)``.

    Raises:
        ValueError: a value is out of range, or the box predictor is class-agnostic. FeatureUpdate needs separate box
            deltas for each category.
    """

    config_keys: ClassVar[tuple[str, ...]] = (f"{_NODE}.*",)
    score_options: ClassVar[dict[str, Any]] = {"num_iterations": 3}  # see ``seesaw_d2.weights.score_settings``

    @configurable
    def __init__(
        self,
        *,
        pooled_channels: int,
        num_iterations: int = 3,
        loss_weights: Sequence[float] = (0.2, 0.2, 0.6),
        num_fc: int = 2,
        fc_dim: int = 512,
        layer_norm: bool = False,
        **kwargs: Any,
    ):
        _check_values(num_iterations, loss_weights, num_fc, fc_dim)
        super().__init__(**kwargs)
        self.num_iterations, self.loss_weights = num_iterations, tuple(loss_weights)
        num_deltas = self.box_predictor.bbox_pred.out_features
        if num_deltas != 4 * self.num_classes:
            expected = f"an output of {4 * self.num_classes} box deltas, 4 for each of {self.num_classes} classes"
            raise InvalidArgument("box_predictor", expected, num_deltas, "Set cls_agnostic_bbox_reg to False.")
        if num_iterations > 1:
            num_logits = self.box_predictor.cls_loss.num_logits
            resolution = self.box_pooler.output_size
            self.feature_update = FeatureUpdate(
                num_logits, num_deltas, pooled_channels, resolution, num_fc, fc_dim, layer_norm
            )

    @classmethod
    def from_config(cls, cfg, input_shape):
        check_iterative_config(cfg)
        ret = super().from_config(cfg, input_shape)
        ret["pooled_channels"] = input_shape[ret["box_in_features"][0]].channels
        node = cfg.MODEL.ROI_ITERATIVE_HEAD
        return {**ret, **{argument: getattr(node, key) for argument, key in _CONFIG_KEYS.items()}}

    def predictions(self, features: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the predictions of each iteration: the logits and the box deltas (R, 4 C) of R regions.

        C is the number of categories. The box predictor's loss determines the number of logits of a region.

        Args:
            features: pooled features (R, channels, height, width).
        """
        predictions = [self.box_predictor(self.box_head(features))]
        while len(predictions) < self.num_iterations:
            features = self.feature_update(features, *predictions[-1])
            predictions.append(self.box_predictor(self.box_head(features)))
        return predictions

    def _forward_box(self, features, proposals):
        features = [features[name] for name in self.box_in_features]
        predictions = self.predictions(self.box_pooler(features, [x.proposal_boxes for x in proposals]))
        if not self.training:
            return self.box_predictor.inference(predictions[-1], proposals)[0]
        losses = self._losses(predictions, proposals)
        if self.train_on_pred_boxes:
            with torch.no_grad():
                boxes = self.box_predictor.predict_boxes_for_gt_classes(predictions[-1], proposals)
            for image, image_boxes in zip(proposals, boxes, strict=True):
                image.proposal_boxes = Boxes(image_boxes)
        return losses

    def _losses(self, predictions, proposals) -> dict[str, Tensor]:
        last = self.num_iterations - 1
        logits, deltas = predictions[last]
        labels = proposal_labels(proposals, logits)
        means = self.box_predictor.mean_counts(logits, labels)
        losses = self.box_predictor.box_losses(deltas, proposals, labels, means)
        objects = self.box_predictor.matched_objects(proposals)
        for index, (logits, _) in enumerate(predictions):
            self.box_predictor.cls_loss.set_iteration(index, self.num_iterations)
            each = self.box_predictor.classification_losses(logits, labels, means, objects=objects, log=index == last)
            for name, value in each.items():
                losses[name] = losses.get(name, 0) + value * self.loss_weights[index]
        return losses


def check_iterative_config(cfg: CfgNode) -> None:
    """Raise ConfigError if MODEL.ROI_ITERATIVE_HEAD has an invalid value or the box regression is class-agnostic."""
    node = added_value(cfg, "MODEL.ROI_ITERATIVE_HEAD")
    if cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
        raise ConfigError(
            f"{_AGNOSTIC}: expected False, found True. IterativeROIHeads needs separate box deltas for each category."
        )
    try:
        _check_values(node.NUM_ITERATIONS, node.LOSS_WEIGHTS, node.NUM_FC, node.FC_DIM)
    except InvalidArgument as error:
        key = f"{_NODE}.{_CONFIG_KEYS[error.name]}"
        raise ConfigError(f"{key}: {error.problem}") from error


def _check_values(num_iterations, loss_weights, num_fc, fc_dim) -> None:
    for name, value in (("num_iterations", num_iterations), ("num_fc", num_fc), ("fc_dim", fc_dim)):
        check_number(name, value, "an integer >= 1", lambda number: number >= 1 and number == int(number))
    expected = f"{num_iterations} numbers >= 0, one for each iteration"
    if len(loss_weights) != num_iterations:
        raise InvalidArgument("loss_weights", expected, loss_weights)
    for weight in loss_weights:
        check_number("loss_weights", weight, expected, lambda number: number >= 0)


def _perceptron(widths: list[int], layer_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.LayerNorm(widths[0])] if layer_norm else []
    for index in range(len(widths) - 1):
        if index:
            layers.append(nn.ReLU())
        layers.append(nn.Linear(widths[index], widths[index + 1]))
    return nn.Sequential(*layers)
