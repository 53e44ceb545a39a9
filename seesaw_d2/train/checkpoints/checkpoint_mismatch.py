"""Compare a checkpoint with a model: categories, data types, shapes, missing parameters."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from seesaw_d2.errors import WeightsError
from seesaw_d2.losses.base import ClassificationLoss

# Modules whose parameters and buffers have one row for each category.
_BY_CATEGORY = re.compile(r"(?:^|\.)(?:box_predictor|mask_head(?:\.\d+)?\.predictor|classifier|cls_loss)\.")


def takes_categories(state: Mapping[str, Tensor], left_out: Iterable[str], num_classes: int) -> bool:
    """Return whether the category order matters, because a tensor not in ``left_out`` has one row for each category."""
    left_out = set(left_out)
    return any(
        name not in left_out and _BY_CATEGORY.search(name) and value.ndim > 0 and len(value) >= num_classes
        for name, value in state.items()
    )


def check_types(state: Mapping[str, Tensor], loaded: Mapping[str, Tensor], path: str) -> None:
    """Raise WeightsError if the loaded value of a floating-point parameter is not a dense floating-point tensor."""
    for name, value in loaded.items():
        if name in state and state[name].is_floating_point():
            plain = value.is_floating_point() and value.layout == torch.strided and not value.is_quantized
            if not plain or value.is_meta:
                found = f"{value.dtype} with layout {value.layout} on device {value.device}"
                raise WeightsError(
                    f"{path}: {name}: expected a dense floating-point tensor such as {state[name].dtype}, found {found}"
                )


def find_problems(incompatible) -> dict[str, str]:
    """Return the missing and the wrongly shaped parameters in fvcore's report, as a dict from name to problem.

    Ignore missing batch counters and missing buffers of losses, because predictions do not depend on them.
    """
    problems = {
        name: "not in the file"
        for name in incompatible.missing_keys
        if not name.endswith("num_batches_tracked") and ".cls_loss." not in name
    }
    return {**problems, **_wrong_shapes(incompatible)}


def check_frozen(model: nn.Module, problems: Mapping[str, str], path: str) -> None:
    """Raise WeightsError if ``problems``, a dict from parameter name to problem, contains a frozen parameter."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    lines = [f"{name}: {problem}" for name, problem in problems.items() if name in frozen]
    if lines:
        raise WeightsError(
            f"{path}: expected values for all frozen parameters (MODEL.FREEZE, MODEL.BACKBONE.FREEZE_AT), found no "
            f"values for {len(lines)} frozen parameters:\n  {first_lines(lines, 20)}"
        )


def check_backbone(incompatible, prefix: str, path: str) -> None:
    """Raise WeightsError unless the file contains exactly the layers of the model's ResNet, named ``prefix``*."""
    lines = [f"{name}: {problem}" for name, problem in _wrong_shapes(incompatible).items()]
    lines += [f"{name}: not in the file" for name in incompatible.missing_keys if _is_layer(name, prefix)]
    lines += [f"{name}: not in the model" for name in incompatible.unexpected_keys]
    if lines:
        raise WeightsError(
            f"{path}: {len(lines)} layers differ from the model's ResNet (MODEL.RESNETS.DEPTH):\n  "
            f"{first_lines(lines, 5)}"
        )


def describe_classifier(model: nn.Module) -> str:
    """Describe a model's loss, background and logits. Without a known loss, name the class of its heads."""
    loss = next((module for module in model.modules() if isinstance(module, ClassificationLoss)), None)
    if loss is None:
        return type(getattr(model, "roi_heads", model)).__name__
    return (
        f"{type(loss).__name__}, background {loss.background!r}: "
        f"{loss.num_logits} logits for {loss.num_classes} categories"
    )


def first_lines(lines: list[str], count: int, between: str = "\n  ") -> str:
    """Join the first ``count`` lines. If there are more lines, append their number."""
    more = [f"and {len(lines) - count} more"] if len(lines) > count else []
    return between.join([*lines[:count], *more])


def _is_layer(name: str, prefix: str) -> bool:
    # Ignore batch counters, which converted files lack.
    return name.startswith((f"{prefix}stem.", f"{prefix}res")) and not name.endswith("num_batches_tracked")


def _wrong_shapes(incompatible) -> dict[str, str]:
    """Return the parameters in fvcore's report whose shape differs from the model, as a dict from name to problem."""
    return {
        name: f"expected shape {tuple(model)}, found {tuple(found)}"
        for name, found, model in incompatible.incorrect_shapes
    }
