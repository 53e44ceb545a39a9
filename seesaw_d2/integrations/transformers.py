"""Use the losses of this package in detection and segmentation models of Hugging Face transformers.

Detectron2 is not needed.
"""

import types
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.integrations import set_criterion
from seesaw_d2.losses.base import ClassificationLoss

Model = TypeVar("Model", bound=nn.Module)

# Supported loss functions of transformers, for models with a softmax and with sigmoids. Each key is the name of a loss
# function. Each value is the name of the criterion class that this function uses. ``LossFunction`` replaces this class.
_SOFTMAX = {"ForObjectDetectionLoss": "ImageLoss", "ForSegmentationLoss": "ImageLoss"}
_SIGMOIDS = {
    "DeformableDetrForObjectDetectionLoss": "DeformableDetrImageLoss",
    "DeformableDetrForSegmentationLoss": "DeformableDetrImageLoss",
    "LwDetrForObjectDetectionLoss": "LwDetrImageLoss",
    "RfDetrForSegmentationLoss": "RfDetrImageLoss",
}
_CRITERIA = {**_SOFTMAX, **_SIGMOIDS}


class LossFunction(nn.Module):
    """Loss function of transformers, in which a loss of this package replaces the classification loss.

    In each call, the original function looks up a criterion class by name in its global variables, and creates an
    instance. This module runs the code of the function with a copy of the global variables. In the copy, the name
    refers to a subclass that uses the new loss. Other models still use the original class.

    Args:
        function: a loss function such as ``DeformableDetrForObjectDetectionLoss``.
        loss: the new classification loss. It must have the number of logits of the model.
    """

    def __init__(self, function: Callable[..., Any], loss: ClassificationLoss):
        super().__init__()
        self.function, self.cls_loss = function, loss

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        function, name = self.function, _CRITERIA[self.function.__name__]
        names = {**function.__globals__, name: self._criterion}
        return types.FunctionType(function.__code__, names, argdefs=function.__defaults__)(*args, **kwargs)

    def _criterion(self, *args: Any, **kwargs: Any) -> nn.Module:
        plain = self.function.__globals__[_CRITERIA[self.function.__name__]]
        criterion = set_criterion.with_label_loss(plain)(*args, **kwargs)
        criterion.cls_loss = self.cls_loss
        return criterion


def use_loss(model: Model, loss: ClassificationLoss) -> Model:
    """Replace the classification loss of a Hugging Face transformers model by a loss of this package.

    The model is changed in place and returned. The classifier of the model determines which losses are possible:

    - MaskFormer, Mask2Former, DETR, YOLOS and Table Transformer have a softmax, and need a loss with
      ``background="class"``. The weight of "no object" (``no_object_weight``, ``eos_coefficient``) does not change.
      ``CrossEntropyLoss``, and ``SeesawLoss`` with p = q = 0, give the original losses.
    - Deformable, Conditional, DAB-, LW- and RF-DETR have sigmoids, and need a loss with ``background="implicit"``.
      ``FocalLoss`` with the same α gives the original losses of the first three models. The original targets of LW-DETR
      and RF-DETR depend on the IoU of the box, whereas ``loss`` uses one-hot targets.

    The classifier, the scores and the loaded weights of the model do not change. The loss updates its statistics once
    for each decoder layer. Class counts therefore grow faster, but keep the same ratios.

    Args:
        model: a model that computes a loss from labels, such as ``Mask2FormerForUniversalSegmentation``.
        loss: a loss with ``num_classes=model.config.num_labels``. The loss becomes ``model.criterion.cls_loss``, and
            gets the device and the mode of the model, which is evaluation after ``from_pretrained``. Its statistics are
            saved with the model.

    Raises:
        ValueError: the criterion of the model is not supported (RT-DETR, D-FINE, Grounding DINO), or the loss does not
            fit the model.
    """
    changed: Any = model
    criterion: Any = getattr(model, "criterion", None)
    if isinstance(criterion, nn.Module) and not isinstance(criterion, LossFunction):
        set_criterion.use_loss(criterion, loss)
        return model
    function: Any = getattr(model, "loss_function", None) if criterion is None else criterion.function
    name = getattr(function, "__name__", None)
    if name not in _CRITERIA:
        raise ConfigError(
            "model: expected a model of transformers (MaskFormer, Mask2Former, YOLOS, DETR, Deformable DETR, "
            f"Conditional DETR, DAB-DETR, LW-DETR or RF-DETR), found a {type(model).__name__} with the loss function "
            f"{name}. For other models, call set_criterion.query_loss."
        )
    set_criterion.check_fits(loss, changed.config.num_labels, softmax=name in _SOFTMAX)
    changed.criterion = LossFunction(function, set_criterion.placed_like(loss, model)).train(model.training)
    # Assign a method, because transformers does not accept a module as ``loss_function``.
    changed.loss_function = changed.criterion.forward
    return model
