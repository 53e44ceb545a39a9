"""Replace non-finite boxes during a forward pass in training, so that the forward pass completes.

Detectron2 raises an error for non-finite boxes. If one process left its forward pass with this error, the other
processes would wait forever in a collective operation. Therefore the process replaces the boxes, records the error and
continues. All processes then skip the optimizer's step.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import CascadeROIHeads
from torch import Tensor, nn

_CASCADE_ERROR = "Predicted boxes of a cascade stage contain Inf or NaN."


def modules_with_box_checks(model: nn.Module) -> list[nn.Module]:
    """Return the modules of a model that raise an error for non-finite boxes: RPNs and cascade heads."""
    return [module for module in model.modules() if isinstance(module, (RPN, CascadeROIHeads))]


@contextmanager
def finite_boxes(parts: Sequence[nn.Module]) -> Iterator[list[str]]:
    """Replace non-finite boxes that the modules ``parts`` predict in the ``with`` block, instead of raising an error.

    An RPN drops non-finite boxes. In cascade heads, NaN and infinite coordinates become 0. After an error in an RPN,
    the ROI heads get zero features, because non-finite features could raise another error.

    Args:
        parts: the RPNs and cascade heads of the model, as ``modules_with_box_checks`` returns them.

    Yields:
        a list to which the modules append Detectron2's error messages. The list is empty while all boxes are finite.
    """
    errors: list[str] = []
    with ExitStack() as stack:
        for part in parts:
            if isinstance(part, RPN):
                stack.enter_context(_replaced(part, "predict_proposals", functools.partial(_propose, part, errors)))
                handle = part.register_forward_hook(functools.partial(_without_features, errors))
                stack.callback(handle.remove)
            else:
                replacement = functools.partial(_refine, part, errors)
                stack.enter_context(_replaced(part, "_create_proposals_from_boxes", replacement))
        yield errors


@contextmanager
def _replaced(part: nn.Module, name: str, method) -> Iterator[None]:
    """Replace the method ``name`` of the module ``part`` by the function ``method`` in the ``with`` block."""
    setattr(part, name, method)
    try:
        yield
    finally:
        delattr(part, name)


def _propose(rpn: RPN, errors: list[str], *args, **kwargs):
    propose = type(rpn).predict_proposals
    try:
        return propose(rpn, *args, **kwargs)
    except FloatingPointError as error:
        errors.append(str(error))
    rpn.training = False  # in evaluation mode, Detectron2 drops non-finite boxes without an error
    try:
        return propose(rpn, *args, **kwargs)
    finally:
        rpn.training = True


def _without_features(errors: list[str], rpn: RPN, inputs: tuple, outputs) -> None:
    if errors:
        features = inputs[1]
        # Multiply by 0 instead of creating zeros, so that the backbone's parameters still get gradients.
        # DistributedDataParallel waits for a gradient of each parameter.
        features.update({name: 0 * each.nan_to_num(0, 0, 0) for name, each in features.items()})


def _refine(heads: CascadeROIHeads, errors: list[str], boxes: Sequence[Tensor], image_sizes):
    create = type(heads)._create_proposals_from_boxes
    try:
        return create(heads, boxes, image_sizes)
    except AssertionError:  # Boxes.clip found NaN or infinity. A check before the call would wait for the GPU
        if all(torch.isfinite(each).all() for each in boxes):
            raise
        errors.append(_CASCADE_ERROR)
    return create(heads, [each.nan_to_num(0, 0, 0) for each in boxes], image_sizes)
