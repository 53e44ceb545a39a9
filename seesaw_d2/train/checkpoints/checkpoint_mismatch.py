"""Compare the parameters of a checkpoint with those of a model: names, shapes, data types and classifiers."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from seesaw_d2.errors import WeightsError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.losses.precision import integers_are_finite

# Matches names of parameters and buffers that have one row for each category, such as "classifier.weight".
_BY_CATEGORY = re.compile(r"(?:^|\.)(?:box_predictor|mask_head(?:\.\d+)?\.predictor|classifier|cls_loss)\.")


def takes_categories(state: Mapping[str, Tensor], left_out: Iterable[str], num_classes: int) -> bool:
    """Return whether a checkpoint and a model must have the same order of categories.

    They must if the checkpointer loads a tensor of a classifier or a loss with one row for each category.

    Args:
        state: state dict of the model.
        left_out: names of the parameters and buffers that the checkpointer does not load.
        num_classes: number of categories in the checkpoint.
    """
    left_out = set(left_out)
    return any(
        name not in left_out and _BY_CATEGORY.search(name) and value.ndim > 0 and len(value) >= num_classes
        for name, value in state.items()
    )


def check_types(state: Mapping[str, Tensor], loaded: Mapping[str, Tensor], path: str) -> None:
    """Check that the values for floating-point parameters of a model are dense floating-point tensors.

    Also check that the values for integers, such as class counts, are finite. PyTorch would convert infinity to an
    arbitrary integer. The counters of batch normalization are not checked, because they have no effect.

    Args:
        state: state dict of the model.
        loaded: dict from parameter name to tensor in the file.
        path: path of the file, for messages.

    Raises:
        WeightsError: a value is, for example, an integer, sparse or quantized tensor, or not finite.
    """
    for name, value in loaded.items():
        if name in state and not name.endswith("num_batches_tracked") and not integers_are_finite(state[name], value):
            raise WeightsError(
                f"{path}: {name}: expected integers, found infinity or NaN in a tensor of type {value.dtype}. Use the "
                "original weights file, which was not converted to half precision"
            )
        if name in state and state[name].is_floating_point():
            plain = value.is_floating_point() and value.layout == torch.strided and not value.is_quantized
            if not plain or value.is_meta:
                found = f"{value.dtype} with layout {value.layout} on device {value.device}"
                raise WeightsError(
                    f"{path}: parameter {name}: expected a dense tensor of a floating-point type such as "
                    f"{state[name].dtype}, found {found}. Convert this tensor, or use another weights file"
                )


def find_problems(incompatible) -> dict[str, str]:
    """Return the parameters of the model that the checkpoint lacks or has with another shape.

    The function ignores missing batch counters of batch normalization and missing buffers of losses, because
    predictions do not depend on them.

    Args:
        incompatible: fvcore's report on a loaded checkpoint (``_IncompatibleKeys``).

    Returns:
        a dict from parameter name to problem, such as "not in the file".
    """
    problems = {
        name: "not in the file"
        for name in incompatible.missing_keys
        if not name.endswith("num_batches_tracked") and ".cls_loss." not in name
    }
    return {**problems, **_wrong_shapes(incompatible)}


def check_frozen(model: nn.Module, problems: Mapping[str, str], path: str) -> None:
    """Raise WeightsError if a frozen parameter of the model was not loaded, and would thus keep its random value.

    Args:
        model: the model, with ``requires_grad`` False for frozen parameters.
        problems: the parameters that were not loaded, a dict from name to reason.
        path: path of the checkpoint, for messages.
    """
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    lines = [f"{name}: {problem}" for name, problem in problems.items() if name in frozen]
    if lines:
        raise WeightsError(
            f"{path}: expected values for all parameters that MODEL.FREEZE and MODEL.BACKBONE.FREEZE_AT freeze, found "
            f"no values for {len(lines)} of these parameters. Use another weights file, or train these parameters:\n  "
            f"{first_lines(lines, 20)}"
        )


def check_backbone(incompatible, prefix: str, path: str) -> None:
    """Raise WeightsError unless the file contains exactly the layers of the model's ResNet.

    Args:
        incompatible: fvcore's report on the loaded file (``_IncompatibleKeys``).
        prefix: beginning of the names of the ResNet's layers in the model, such as "backbone.bottom_up.".
        path: path of the file, for messages.
    """
    lines = [f"{name}: {problem}" for name, problem in _wrong_shapes(incompatible).items()]
    layers = [name for name in incompatible.missing_keys if name.startswith((f"{prefix}stem.", f"{prefix}res"))]
    # Ignore the counters num_batches_tracked of BatchNorm layers, which converted files lack.
    lines += [f"{name}: not in the file" for name in layers if not name.endswith("num_batches_tracked")]
    lines += [f"{name}: not in the model" for name in incompatible.unexpected_keys]
    if lines:
        raise WeightsError(
            f"{path}: expected the weights of the model's ResNet, found {len(lines)} differences. Check "
            f"MODEL.RESNETS.DEPTH. The differences are:\n  {first_lines(lines, 5)}"
        )


def describe_classifier(model: nn.Module) -> str:
    """Describe the classification loss of a model for a message: its class, numbers of logits and of categories.

    If the model uses no loss of this project, return the class name of its ROI heads or, without ROI heads, of the
    model.
    """
    loss = next((module for module in model.modules() if isinstance(module, ClassificationLoss)), None)
    if loss is None:
        return type(getattr(model, "roi_heads", model)).__name__
    return (
        f"{type(loss).__name__} with background {loss.background!r} and {loss.num_logits} logits for "
        f"{loss.num_classes} categories"
    )


def first_lines(lines: list[str], count: int, between: str = "\n  ") -> str:
    """Join the first ``count`` lines with the separator ``between``. For further lines, append "and <number> more"."""
    more = [f"and {len(lines) - count} more"] if len(lines) > count else []
    return between.join([*lines[:count], *more])


def _wrong_shapes(incompatible) -> dict[str, str]:
    """Return a dict with the parameters of wrong shape in fvcore's report, from name to a text with both shapes."""
    return {
        name: f"expected shape {tuple(model)}, found {tuple(found)}"
        for name, found, model in incompatible.incorrect_shapes
    }
