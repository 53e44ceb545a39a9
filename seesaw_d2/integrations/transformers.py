"""Use classification losses in detectors and segmenters of Hugging Face transformers. Detectron2 is not needed."""

import types
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.integrations import set_criterion
from seesaw_d2.losses.base import ClassificationLoss

Model = TypeVar("Model", bound=nn.Module)

# Name of a loss function of transformers -> name of the criterion class that the function instantiates.
_SOFTMAX = {"ForObjectDetectionLoss": "ImageLoss", "ForSegmentationLoss": "ImageLoss"}
_SIGMOIDS = {
    "DeformableDetrForObjectDetectionLoss": "DeformableDetrImageLoss",
    "DeformableDetrForSegmentationLoss": "DeformableDetrImageLoss",
    "LwDetrForObjectDetectionLoss": "LwDetrImageLoss",
    "RfDetrForSegmentationLoss": "RfDetrImageLoss",
}
_CRITERIA = {**_SOFTMAX, **_SIGMOIDS}


class LossFunction(nn.Module):
    """Wrap a loss function of transformers, and replace its classification loss by ``cls_loss``.

    In each call, the loss function looks up a criterion class by name in its global variables and creates an instance.
    This module runs the code of the loss function with a copy of the global variables, in which the name refers to a
    subclass with ``LabelLoss``. Other models still use the original class.

    Args:
        function: a loss function such as ``DeformableDetrForObjectDetectionLoss``.
        loss: a loss that fits the function, as ``set_criterion.check_fits`` checks.
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
    """Replace the classification loss of a model of transformers, in place, and return the model.

    - MaskFormer, Mask2Former, DETR, YOLOS and Table Transformer have a softmax and need a loss with background "class".
      The weight of "no object" (``no_object_weight``, ``eos_coefficient``) does not change. ``CrossEntropyLoss``, and
      ``SeesawLoss`` with p = q = 0, give the original losses.
    - Deformable, Conditional, DAB-, LW- and RF-DETR have sigmoids and need a loss with background "implicit".
      ``FocalLoss`` with the same α gives the original losses of the first three models. The original targets of LW-DETR
      and RF-DETR depend on the IoU of the box, whereas ``loss`` uses one-hot targets.

    The classifier, the scores and the loaded weights of the model do not change. The loss updates its statistics once
    for each decoder layer. Class counts therefore grow faster, but keep the same ratios.

    Args:
        model: a model that computes a loss from labels, such as ``Mask2FormerForUniversalSegmentation``.
        loss: a loss with ``num_classes=model.config.num_labels``. The loss becomes ``model.criterion.cls_loss``. Its
            statistics are then saved with the model.

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
            "model: expected a MaskFormer, Mask2Former, DETR, YOLOS or Deformable, Conditional, DAB-, LW- or RF-DETR "
            f"of transformers, found a {type(model).__name__} with the loss function {name}. For other models, call "
            "set_criterion.query_loss."
        )
    set_criterion.check_fits(loss, changed.config.num_labels, softmax=name in _SOFTMAX)
    changed.criterion = LossFunction(function, loss)
    changed.loss_function = changed.criterion.forward  # the setter of transformers does not accept a module
    return model
