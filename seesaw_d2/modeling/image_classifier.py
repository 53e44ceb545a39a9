"""Define an image classifier that supports all classification losses with background "none"."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from torch import Tensor, nn

from seesaw_d2.frequency_groups import SHOT_NAMES
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.losses.build import build_loss
from seesaw_d2.modeling.box_predictor import PREDICTOR_KEYS, build_classifier
from seesaw_d2.modeling.building import check_program
from seesaw_d2.modeling.calibration.base import Calibration, class_probabilities
from seesaw_d2.modeling.calibration.build import build_calibration
from seesaw_d2.modeling.classification_accuracy import GroupsWhenNeeded
from seesaw_d2.modeling.classifier_checks import check_classifier_config
from seesaw_d2.modeling.statistics_provider import training_frequency_groups, training_statistics
from seesaw_d2.utils.deferred_scalars import put_scalars


@META_ARCH_REGISTRY.register()
class ImageClassifier(GroupsWhenNeeded, nn.Module):
    """Image classifier with a backbone, global average pooling, a linear or normalized layer and a ClassificationLoss.

    Source: Seesaw Loss paper, section 4.4. The losses and the last layers are the same as in detectors.

    Args:
        backbone: network that computes features (images, channels) or feature maps (images, channels, h, w). The
            classifier uses the last output of the backbone. Feature maps are averaged over h and w.
        cls_loss: a loss with ``background="none"``.
        cls_predictor: name of the last layer, "NormedLinear", "Linear" or "LWSLinear".
        temperature: > 0, temperature of NormedLinear. The other layers ignore this argument.
        pixel_mean, pixel_std: one number for each channel, in the channel order of the images.
        calibration: changes the probabilities at inference, usually depending on the class frequencies. If None, the
            probabilities do not change.
        frequency_groups: function without arguments that returns the group of each class, or None if unknown (see
            ``SeesawBoxPredictor``). The groups are 0 for classes with few training images, 1 for a medium number and 2
            for many. The accuracy of each group is logged.

    Raises:
        ValueError: the loss models background, or the calibration does not support the loss or the classifier.
    """

    task: ClassVar[str] = "classification"  # the trainer uses this name to select checks and data loaders

    pixel_mean: Tensor
    pixel_std: Tensor

    config_keys: ClassVar[tuple[str, ...]] = (
        *PREDICTOR_KEYS,
        "MODEL.CLASSIFIER.NUM_CLASSES",
        "MODEL.ROI_HEADS.CALIBRATION.*",
        "DATASETS.FREQUENCY_THRESHOLDS",
    )

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        cls_loss: ClassificationLoss,
        cls_predictor: str = "Linear",
        temperature: float = 20.0,
        pixel_mean=(123.675, 116.28, 103.53),
        pixel_std=(58.395, 57.12, 57.375),
        calibration: Calibration | None = None,
        frequency_groups: Callable[[], np.ndarray | None] | None = None,
    ):
        super().__init__()
        if cls_loss.background != "none":
            raise ValueError(
                f'cls_loss: expected a loss with background="none", found background="{cls_loss.background}". Image '
                "classifiers have no background class."
            )
        if calibration is not None:
            calibration.check(cls_loss, cls_predictor)
        self.backbone = backbone
        *_, (self._feature, shape) = backbone.output_shape().items()
        self.classifier = build_classifier(cls_predictor, shape.channels, cls_loss, temperature)
        self.cls_loss = cls_loss
        self.calibration = calibration
        self.register_buffer("pixel_mean", torch.as_tensor(pixel_mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.as_tensor(pixel_std).view(-1, 1, 1), persistent=False)
        self._find_groups = frequency_groups
        self.groups = None

    @classmethod
    def from_config(cls, cfg) -> dict[str, Any]:
        check_program(cfg)
        node = cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR
        check_classifier_config(cfg.MODEL.ROI_BOX_HEAD)
        num_classes = cfg.MODEL.CLASSIFIER.NUM_CLASSES
        statistics = functools.partial(training_statistics, cfg)
        cls_loss = build_loss(cfg, num_classes, statistics, has_background=False)
        return {
            "backbone": build_backbone(cfg),
            "cls_loss": cls_loss,
            "calibration": build_calibration(cfg, cls_loss),
            "cls_predictor": node.NAME,
            "temperature": node.TEMPERATURE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "frequency_groups": functools.partial(training_frequency_groups, cfg, num_classes),
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict[str, Any]]):
        """Return the losses in training mode, or the class probabilities in evaluation mode.

        Args:
            batched_inputs: a dict for each image, with "image", a tensor (3, height, width), and in training mode
                "label", an int in [0, C), where C is the number of classes. All images must have the same size.

        Returns:
            a dict of scalar losses in training mode. In evaluation mode, a list with a dict for each image, whose value
            "probabilities" is a tensor (C,).
        """
        if not self.training:
            logits = self.classifier(self.features(batched_inputs))
            found = class_probabilities(logits, self.cls_loss, self.calibration, self.classifier)
            return [{"probabilities": probs} for probs in found]
        labels = self.labels(batched_inputs)  # starts the copy to the GPU, which overlaps with the backbone
        logits = self.classifier(self.features(batched_inputs))
        losses = self.cls_loss(logits, labels)
        self._log_accuracy(logits.detach(), labels)
        return losses

    def labels(self, batched_inputs: list[dict[str, Any]]) -> Tensor:
        """Return the labels of the images, int64 (images,), on the device of the model. The copy is asynchronous."""
        labels = torch.tensor([item["label"] for item in batched_inputs])
        if self.device.type == "cuda":
            labels = labels.pin_memory()
        return labels.to(self.device, non_blocking=True)

    def features(self, batched_inputs: list[dict[str, Any]]) -> Tensor:
        """Return the features of the images, (images, features), averaged over the pixels of feature maps."""
        images = torch.stack([item["image"] for item in batched_inputs]).to(self.device, non_blocking=True)
        features = self.backbone((images - self.pixel_mean) / self.pixel_std)[self._feature]
        return features.mean(dim=(2, 3)) if features.dim() == 4 else features

    @torch.no_grad()
    def _log_accuracy(self, logits: Tensor, labels: Tensor) -> None:
        """Log the accuracy over all images of the batch, and the accuracy of each frequency group in the batch."""
        groups = self.frequency_groups(labels.device)
        right = (self.cls_loss.probabilities(logits).argmax(dim=1) == labels).float()
        metrics = {"accuracy": right.mean()}
        if groups is not None:
            for index, name in enumerate(SHOT_NAMES):
                inside = groups[labels] == index
                metrics[f"accuracy_{name}"] = (right * inside).sum() / inside.sum()
        put_scalars([f"classifier/{name}" for name in metrics], torch.stack(list(metrics.values())))
