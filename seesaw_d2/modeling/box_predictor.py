"""Define a box predictor, the last layers of a detector's box head, that supports all classification losses."""

import functools
from collections.abc import Callable

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.layers import cat
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument
from seesaw_d2.losses.build import build_loss
from seesaw_d2.modeling.building import check_program
from seesaw_d2.modeling.calibration.base import Calibration, class_probabilities
from seesaw_d2.modeling.calibration.build import build_calibration
from seesaw_d2.modeling.classification_accuracy import GroupsWhenNeeded, log_classification_metrics
from seesaw_d2.modeling.classifier_checks import CLASSIFIERS, check_classifier_config
from seesaw_d2.modeling.lws import LWSLinear
from seesaw_d2.modeling.matched_objects import matched_objects
from seesaw_d2.modeling.normalized_layers import NormedLinear
from seesaw_d2.modeling.statistics_provider import training_frequency_groups, training_statistics
from seesaw_d2.utils.distributed import all_reduce_sum, world_size

# Config keys that each model with a ClassificationLoss reads. The suffix ".*" stands for all keys below the node.
PREDICTOR_KEYS = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.*", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.*")
# Config keys that ROI heads with a SeesawBoxPredictor read.
BOX_KEYS = (*PREDICTOR_KEYS, "MODEL.ROI_HEADS.CALIBRATION.*")
# These options of Detectron2's main branch and of CenterNet2 change the loss or the scores. They must be False, because
# ``cls_loss`` defines both. The config key of "use_fed_loss" is MODEL.ROI_BOX_HEAD.USE_FED_LOSS, for example.
OTHER_OPTIONS = ("use_sigmoid_ce", "use_fed_loss", "mult_proposal_score")


class SeesawBoxPredictor(GroupsWhenNeeded, FastRCNNOutputLayers):
    """Detectron2's box predictor with any ClassificationLoss and a classifier with ``cls_loss.num_logits`` outputs.

    Box regression, NMS and the selection of detections are the same as in Detectron2. The default classifier is the
    normalized linear layer of the Seesaw Loss paper (section 3) with temperature 20. This layer also computes the
    objectness logits.

    In distributed training, Detectron2 averages the classification and box losses over the proposals of each process.
    This class averages them over the proposals of all processes, so that the result equals the losses of a single
    process with the complete batch. The logged classification metrics describe the proposals of the main process.
    Losses with random sampling (BAGS, federated loss) sample independently in each process.

    Args:
        input_shape: output shape of the box head.
        cls_loss: the classification loss. ``cls_loss.num_classes`` must equal the argument ``num_classes``.
        cls_predictor: name of the classifier, "NormedLinear", "Linear" or "LWSLinear".
        temperature: > 0, temperature of NormedLinear. The other classifiers ignore this argument.
        frequency_groups: function without arguments that returns the frequency group of each of C categories, an int
            array (C,) with 0 rare, 1 common and 2 frequent, or None if the groups are unknown. The function is called
            when the accuracies of the groups are first logged. If the array does not have length C, a warning is logged
            instead of these accuracies. To pickle the model, pass a picklable function.
        calibration: changes the scores at inference, usually depending on the class frequencies. If None, the scores do
            not change.
        kwargs: arguments of ``FastRCNNOutputLayers``. ``loss_weight["loss_cls"]`` multiplies all losses whose names
            begin with loss_cls.

    Raises:
        ValueError: ``cls_predictor`` is unknown, ``temperature`` is not positive, ``cls_loss`` has a wrong number of
            classes, ``calibration`` does not support the loss or the classifier, or an option in ``OTHER_OPTIONS`` is
            True.
    """

    @configurable
    def __init__(
        self,
        input_shape,
        *,
        cls_loss: ClassificationLoss,
        cls_predictor: str = "NormedLinear",
        temperature: float = 20.0,
        frequency_groups: Callable[[], np.ndarray | None] | None = None,
        calibration: Calibration | None = None,
        **kwargs,
    ):
        for name in OTHER_OPTIONS:  # remove the options, because Detectron2 v0.6 does not accept them
            if kwargs.pop(name, False):
                raise InvalidArgument(name, "False", True, "The argument cls_loss defines the loss and the scores.")
        super().__init__(input_shape, **kwargs)
        if cls_loss.num_classes != self.num_classes:
            raise ValueError(
                f"cls_loss: expected a loss with num_classes {self.num_classes}, as in the box predictor, found a loss "
                f"with num_classes {cls_loss.num_classes}"
            )
        if calibration is not None:
            calibration.check(cls_loss, cls_predictor)
        self.cls_loss = cls_loss
        self.calibration = calibration
        in_features = self.cls_score.in_features  # type: ignore[has-type]
        self.cls_score = build_classifier(cls_predictor, in_features, cls_loss, temperature)
        self._find_groups = frequency_groups
        self.groups = None

    @classmethod
    def from_config(cls, cfg, input_shape, stage=0, num_stages=1):
        check_loss_keys(cfg)
        ret = super().from_config(cfg, input_shape)
        check_classifier_config(cfg.MODEL.ROI_BOX_HEAD)
        node = cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR
        statistics = functools.partial(training_statistics, cfg)
        ret["cls_loss"] = build_loss(cfg, ret["num_classes"], statistics, stage=stage, num_stages=num_stages)
        ret["calibration"] = build_calibration(cfg, ret["cls_loss"], stage, num_stages)
        ret["cls_predictor"] = node.NAME
        ret["temperature"] = node.TEMPERATURE
        ret["frequency_groups"] = functools.partial(training_frequency_groups, cfg)  # can be pickled, unlike a lambda
        return ret

    def losses(self, predictions, proposals):
        """Return a dict of scalar losses, as ``FastRCNNOutputLayers.losses`` does.

        Args:
            predictions: for N proposals and C categories, the ``cls_loss.num_logits`` logits of each proposal, and box
                deltas, (N, 4) or (N, 4 C).
            proposals: one ``Instances`` for each image, with the ground truth of the proposals.
        """
        logits, deltas = predictions
        labels = proposal_labels(proposals, logits)
        means = self.mean_counts(logits, labels)
        objects = self.matched_objects(proposals)
        losses = self.classification_losses(logits, labels, means, objects=objects)
        return {**losses, **self.box_losses(deltas, proposals, labels, means)}

    def mean_counts(self, logits, labels) -> torch.Tensor | None:
        """Return the divisors of the classification loss and of the box loss: numbers of proposals per process.

        The numbers are averaged over all processes. Every process must call this method.

        Returns:
            float32 tensor (2,): the mean number of proposals in the classification loss, and in the box loss. The
            result is None if the training has a single process.
        """
        if world_size() == 1:
            return None
        # In float16, large counts would overflow. float32 represents integers up to 2^24 exactly.
        counts = logits.new_zeros(2, dtype=torch.float32)
        counts[0], counts[1] = self.cls_loss.num_averaged(labels, None), labels.numel()
        return all_reduce_sum(counts).clamp(min=1) / world_size()

    def matched_objects(self, proposals) -> torch.Tensor | None:
        """Return the index of the matched object of each proposal, int64 (N,), or None if the loss does not use it."""
        return matched_objects(proposals) if self.cls_loss.takes_objects and proposals else None

    def classification_losses(self, logits, labels, means=None, *, objects=None, log: bool = True):
        """Return a dict of scalar classification losses, multiplied by their ``loss_weight``.

        Args:
            logits: (N, L), L logits of N proposals.
            labels: (N,) int64 in [0, C], where C is background.
            means: result of ``mean_counts``, the divisors of the losses. If None, the losses are averages over the
                proposals of this process.
            objects: (N,), index of the object that each proposal matches, or None (see ``matched_objects``).
            log: whether to log accuracies to Detectron2's event storage.
        """
        arguments = {} if means is None else {"avg_factor": means[0]}
        if objects is not None:
            arguments["objects"] = objects
        losses = self.cls_loss(logits, labels, **arguments)
        if log:
            self._log_metrics(logits.detach(), labels)
        return {name: value * self._weight_of(name) for name, value in losses.items()}

    def box_losses(self, deltas, proposals, labels, means=None):
        """Return a dict with the box regression loss, multiplied by its ``loss_weight``.

        Args:
            deltas: predicted box deltas of N proposals, (N, 4) or (N, 4 C) for C categories.
            proposals: one ``Instances`` for each image, with the ground truth of the proposals.
            labels, means: as in ``classification_losses``.
        """
        empty = deltas.new_zeros(0, len(self.box2box_transform.weights))
        boxes = _concatenate([p.proposal_boxes.tensor for p in proposals], empty)
        # In images without objects, proposals have no gt_boxes. Use the proposal boxes as placeholders. They have no
        # effect, because these proposals are background, and box_reg_loss ignores the targets of background.
        targets = [(p.gt_boxes if p.has("gt_boxes") else p.proposal_boxes).tensor for p in proposals]
        targets = _concatenate(targets, empty)
        loss = self.box_reg_loss(boxes, targets, deltas, labels)
        # box_reg_loss divides by the number of proposals in this process. Divide by the mean of all processes instead.
        if means is not None:
            loss = loss * (max(len(boxes), 1) / means[1])
        return {"loss_box_reg": loss * self._weight_of("loss_box_reg")}

    def predict_probs(self, predictions, proposals):
        """Return, for each image, the calibrated scores of its proposals, (proposals, C + 1), background last."""
        logits, _ = predictions
        probs = class_probabilities(logits, self.cls_loss, self.calibration, self.cls_score)
        return probs.split([len(p) for p in proposals], dim=0)

    def _weight_of(self, name: str) -> float:
        key = "loss_cls" if name.startswith("loss_cls") and name not in self.loss_weight else name
        return self.loss_weight.get(key, 1.0)

    def _log_metrics(self, logits, labels) -> None:
        groups = self.frequency_groups(labels.device)
        log_classification_metrics(self.cls_loss.probabilities(logits), labels, groups)


def build_classifier(name: str, in_features: int, cls_loss: ClassificationLoss, temperature: float) -> nn.Linear:
    """Build a classifier "NormedLinear", "Linear" or "LWSLinear" with ``cls_loss.num_logits`` outputs.

    The initial weights are normally distributed with standard deviation 0.01. The initial bias is
    ``cls_loss.initial_bias()``, or 0 if this method returns None. Only "NormedLinear" uses ``temperature``.
    """
    if name not in CLASSIFIERS:
        raise ValueError(f"cls_predictor: expected one of {', '.join(CLASSIFIERS)}, found {name!r}")
    if name == "NormedLinear":
        layer: nn.Linear = NormedLinear(in_features, cls_loss.num_logits, temperature=temperature)
    else:
        layer = (nn.Linear if name == "Linear" else LWSLinear)(in_features, cls_loss.num_logits)
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    bias = cls_loss.initial_bias()
    if bias is not None:
        with torch.no_grad():
            layer.bias.copy_(bias)
    return layer


def check_loss_keys(cfg) -> None:
    """Raise ConfigError if a key that changes the loss, such as USE_SIGMOID_CE, is True, or MODEL.DEVICE is "auto"."""
    check_program(cfg)
    for name in map(str.upper, OTHER_OPTIONS):
        if cfg.MODEL.ROI_BOX_HEAD.get(name, False):
            raise ConfigError(
                f"MODEL.ROI_BOX_HEAD.{name}: expected False with MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME}, "
                "found True. Select the loss and the scores with MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME instead, for example "
                "FederatedLoss or a sigmoid loss."
            )


def proposal_labels(proposals, like):
    """Return the labels of all N proposals of a batch, int64 (N,). If N is 0, use the device of the tensor ``like``."""
    return _concatenate([p.gt_classes for p in proposals], like.new_zeros(0, dtype=torch.int64))


def _concatenate(tensors, empty):
    return cat(tensors, dim=0) if tensors else empty
