"""Use classification losses in detectors and segmenters of Hugging Face transformers, without Detectron2."""

import types
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from seesaw_d2.integrations import set_criterion
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument

Model = TypeVar("Model", bound=nn.Module)

# Loss functions of transformers, and the criterion that each makes in every call.
_SOFTMAX = {"ForObjectDetectionLoss": "ImageLoss", "ForSegmentationLoss": "ImageLoss"}
_SIGMOIDS = {
    "DeformableDetrForObjectDetectionLoss": "DeformableDetrImageLoss",
    "DeformableDetrForSegmentationLoss": "DeformableDetrImageLoss",
    "LwDetrForObjectDetectionLoss": "LwDetrImageLoss",
    "RfDetrForSegmentationLoss": "RfDetrImageLoss",
}
_CRITERIA = {**_SOFTMAX, **_SIGMOIDS}


class LossFunction(nn.Module):
    """One of transformers' loss functions for detection, with ``cls_loss`` in the criterion that it makes.

    The functions make their criterion in every call. This module runs the code of a function with another class under
    the name of the criterion: other models keep theirs, and their sum over decoder layers is not re-stated here.

    Args:
        function: such as ``DeformableDetrForObjectDetectionLoss``.
        loss: fits it.
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
    """Install a classification loss in a model of transformers, in place, and return the model.

    - MaskFormer, Mask2Former, DETR, YOLOS and Table Transformer have a softmax: ``loss`` has background "class". Their
      weight of "no object" (``no_object_weight``, ``eos_coefficient``) stays. With p = q = 0 the losses stay the same.
    - Deformable, Conditional and DAB-DETR have sigmoids: ``loss`` has background "implicit". With ``FocalLoss`` of the
      same α the losses stay the same. LW-DETR and RF-DETR have sigmoids, too. Their own target contains the IoU of
      the box; with ``loss`` the target is the category alone.

    The model keeps its classifier, its scores and published weights. Every decoder layer is a batch for the statistics
    of the loss: counts grow by the number of layers in a step, and their ratios are those of the objects.

    Args:
        model: computes a loss from labels, such as ``Mask2FormerForUniversalSegmentation``.
        loss: of ``model.config.num_labels`` categories. It becomes ``model.criterion.cls_loss``, so that its counts are
            saved with the model.

    Raises:
        ValueError: the model has another criterion (RT-DETR, D-FINE, Grounding DINO), or the loss does not fit.
    """
    changed: Any = model
    criterion: Any = getattr(model, "criterion", None)
    if isinstance(criterion, nn.Module) and not isinstance(criterion, LossFunction):
        set_criterion.use_loss(criterion, loss)
        return model
    function: Any = getattr(model, "loss_function", None) if criterion is None else criterion.function
    name = getattr(function, "__name__", None)
    if name not in _CRITERIA:
        expected = (
            "a MaskFormer, Mask2Former, DETR, YOLOS or Deformable, Conditional, DAB-, LW- or RF-DETR of transformers"
        )
        found = f"{type(model).__name__} with the loss function {name}"
        raise InvalidArgument("model", f"{expected}; for others call set_criterion.query_loss", found)
    set_criterion.check_fits(loss, changed.config.num_labels, softmax=name in _SOFTMAX)
    changed.criterion = LossFunction(function, loss)
    changed.loss_function = changed.criterion.forward  # transformers' property takes no module
    return model
