"""Options for faster training: precision, memory layout, compilation, optimizer kernels."""

import logging
from collections.abc import Mapping

import torch
from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.roi_align_gradient import with_product_gradients
from seesaw_d2.utils.malloc import keep_freed_memory

logger = logging.getLogger(__name__)

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# SOLVER.TF32 -> (matrix products, convolutions) use TF32.
TF32 = {"convolutions": (False, True), "all": (True, True), "none": (False, False)}
# SOLVER.OPTIMIZER_IMPLEMENTATION -> PyTorch's keyword arguments. "auto" does not change Detectron2's optimizer.
IMPLEMENTATIONS = {
    "for-loop": {"foreach": False, "fused": None},
    "foreach": {"foreach": True, "fused": None},
    "fused": {"foreach": None, "fused": True},
}
WRITERS_PERIOD = 20  # number of iterations between two writes of metrics by Detectron2's trainer


def check_acceleration(cfg: CfgNode) -> None:
    """Check the values of these options and their combination.

    Raises:
        ConfigError: a value is wrong.
    """
    _one_of("SOLVER.AMP.DTYPE", cfg.SOLVER.AMP.DTYPE, DTYPES)
    _one_of("MODEL.ROI_ALIGN_GRADIENT", cfg.MODEL.ROI_ALIGN_GRADIENT, ("torchvision", "products"))
    _one_of("SOLVER.TF32", cfg.SOLVER.TF32, TF32)
    _one_of("SOLVER.OPTIMIZER_IMPLEMENTATION", cfg.SOLVER.OPTIMIZER_IMPLEMENTATION, ("auto", *IMPLEMENTATIONS))
    period = cfg.SOLVER.METRICS_PERIOD
    if period < 1 or WRITERS_PERIOD % period:
        raise ConfigError(
            f"SOLVER.METRICS_PERIOD: expected a divisor of {WRITERS_PERIOD}, because metrics are written every "
            f"{WRITERS_PERIOD} iterations, found {period}"
        )
    scaled = cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "float16"
    if period > 1 and (cfg.SOLVER.OPTIMIZER_IMPLEMENTATION != "fused" or scaled):
        raise ConfigError(
            "SOLVER.METRICS_PERIOD: expected 1, because more needs SOLVER.OPTIMIZER_IMPLEMENTATION fused, whose kernel "
            f"can skip a step, and no float16 (SOLVER.AMP.DTYPE bfloat16), found {period}"
        )


def check_compilation(cfg: CfgNode, model: nn.Module) -> None:
    """Check that all parts named by MODEL.COMPILE exist and that torch.compile works here.

    Raises:
        ConfigError: a part does not exist, or compiling fails.
    """
    parts = dict(model.named_modules())
    for name in cfg.MODEL.COMPILE:
        if not name or name not in parts:
            raise ConfigError(
                "MODEL.COMPILE: expected names of the model's parts such as "
                f"{', '.join(dict(model.named_children()))}, found {name!r}"
            )
    if cfg.MODEL.COMPILE:
        try_compiler(torch.device(cfg.MODEL.DEVICE))


def try_compiler(device: torch.device) -> None:
    """Compile one line of code.

    Raises:
        ConfigError: compiling fails. The message contains the compiler's error.
    """
    try:
        torch.compile(lambda x: x.sin() + x)(torch.ones(8, device=device))
    except Exception as error:  # raised by the compiler or by Triton
        needed = "a C++ compiler (g++) and Python's headers" if device.type == "cpu" else "Triton and a C compiler"
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"MODEL.COMPILE: expected [], because torch.compile failed: {reason}. It needs {needed} for {device.type}"
        ) from error


def accelerate(model: nn.Module, cfg: CfgNode) -> nn.Module:
    """Apply the options to a model in place, and return it. Its state dict stays the same."""
    if cfg.MODEL.CHANNELS_LAST:
        model.to(memory_format=torch.channels_last)
    if cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "bfloat16":
        with_wide_features(model)
    if cfg.MODEL.ROI_ALIGN_GRADIENT == "products":
        with_product_gradients(model)
        if cfg.MODEL.DEVICE.startswith("cuda"):
            logger.info("MODEL.ROI_ALIGN_GRADIENT products: only for CPUs; no effect on the GPU")
    for name in cfg.MODEL.COMPILE:
        model.get_submodule(name).compile()
    set_tf32(cfg)
    if torch.device(cfg.MODEL.DEVICE).type == "cpu":
        keep_freed_memory()
    return model


def set_tf32(cfg: CfgNode) -> None:
    """Set PyTorch's TF32 switches for this process. They only affect CUDA."""
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        if cfg.SOLVER.TF32 != "convolutions":
            logger.info(f"SOLVER.TF32 {cfg.SOLVER.TF32}: only GPUs have TF32; no effect on the CPU")
        return
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = TF32[cfg.SOLVER.TF32]


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """Return the data type of mixed precision, or None without mixed precision."""
    return DTYPES[cfg.SOLVER.AMP.DTYPE] if cfg.SOLVER.AMP.ENABLED else None


def set_implementation(optimizer: torch.optim.Optimizer, cfg: CfgNode) -> torch.optim.Optimizer:
    """Set SOLVER.OPTIMIZER_IMPLEMENTATION in all parameter groups of an optimizer, and return it.

    Raises:
        ConfigError: the optimizer does not have this implementation.
    """
    name = cfg.SOLVER.OPTIMIZER_IMPLEMENTATION
    if name == "auto":
        return optimizer
    if "fused" not in optimizer.defaults:
        raise ConfigError(
            f'SOLVER.OPTIMIZER_IMPLEMENTATION: expected "auto" with {type(optimizer).__name__}, found {name!r}'
        )
    for group in (optimizer.defaults, *optimizer.param_groups):
        group.update(IMPLEMENTATIONS[name])
    # Do not set optimizer._step_supports_amp_scaling: gradients are unscaled before Detectron2's clipping, not in the
    # kernel.
    return optimizer


def begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Initialize missing momentum buffers of SGD with zeros, for SOLVER.METRICS_PERIOD above 1.

    PyTorch initializes them with the first gradient, which gives the same values. But if the kernel skips that step,
    PyTorch continues from uninitialized memory.
    """
    for group in optimizer.param_groups:
        if group.get("momentum", 0) and not group.get("dampening", 0):
            for each in group["params"]:
                if optimizer.state[each].get("momentum_buffer") is None:
                    optimizer.state[each]["momentum_buffer"] = torch.zeros_like(each)


def with_wide_features(model: nn.Module) -> None:
    """Convert the backbone's bfloat16 features to float32 for the heads of a detector.

    Detectron2 converts boxes to the type of the features for RoIAlign. The 8 bits of bfloat16 would move an edge at 800
    pixels by up to 2. RoIAlign computes in float32 anyway.
    """
    if hasattr(model, "roi_heads"):
        model.backbone.register_forward_hook(_widened)


def _widened(backbone: nn.Module, inputs, outputs):
    if isinstance(outputs, Mapping):
        return {name: each.float() if each.dtype == torch.bfloat16 else each for name, each in outputs.items()}
    return outputs


def _one_of(key: str, found: str, choices) -> None:
    if found not in choices:
        raise ConfigError(f"{key}: expected one of {', '.join(choices)}, found {found!r}")
