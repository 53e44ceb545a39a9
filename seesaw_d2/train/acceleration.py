"""Ways to train faster that the config asks for: precision, memory layout, compilation, the optimizer's kernels."""

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
# (matrix products, convolutions) in TF32.
TF32 = {"convolutions": (False, True), "all": (True, True), "none": (False, False)}
# PyTorch's own keywords; "auto" leaves Detectron2's optimizer as it is.
IMPLEMENTATIONS = {
    "for-loop": {"foreach": False, "fused": None},
    "foreach": {"foreach": True, "fused": None},
    "fused": {"foreach": None, "fused": True},
}
WRITERS_PERIOD = 20  # how often Detectron2's trainer writes metrics


def check_acceleration(cfg: CfgNode) -> None:
    """
    Raises:
        ConfigError: a value that is none of a key's, or does not go with others.
    """
    _one_of("SOLVER.AMP.DTYPE", cfg.SOLVER.AMP.DTYPE, DTYPES)
    _one_of("MODEL.ROI_ALIGN_GRADIENT", cfg.MODEL.ROI_ALIGN_GRADIENT, ("torchvision", "products"))
    _one_of("SOLVER.TF32", cfg.SOLVER.TF32, TF32)
    _one_of("SOLVER.OPTIMIZER_IMPLEMENTATION", cfg.SOLVER.OPTIMIZER_IMPLEMENTATION, ("auto", *IMPLEMENTATIONS))
    period = cfg.SOLVER.METRICS_PERIOD
    if period < 1 or WRITERS_PERIOD % period:
        raise ConfigError(
            f"SOLVER.METRICS_PERIOD: expected a divisor of {WRITERS_PERIOD}, as metrics are written every "
            f"{WRITERS_PERIOD} iterations, found {period}"
        )
    scaled = cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "float16"
    if period > 1 and (cfg.SOLVER.OPTIMIZER_IMPLEMENTATION != "fused" or scaled):
        raise ConfigError(
            "SOLVER.METRICS_PERIOD: more than 1 needs SOLVER.OPTIMIZER_IMPLEMENTATION fused, whose kernel can leave a "
            f"step out by itself, and no float16 (SOLVER.AMP.DTYPE bfloat16); expected 1, found {period}"
        )


def check_compilation(cfg: CfgNode, model: nn.Module) -> None:
    """The parts that MODEL.COMPILE names exist, and this machine can compile, which is tried.

    Raises:
        ConfigError: or not.
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
    """Compile a line.

    Raises:
        ConfigError: it cannot be, with what PyTorch's compiler says.
    """
    try:
        torch.compile(lambda x: x.sin() + x)(torch.ones(8, device=device))
    except Exception as error:  # of the compiler, of Triton, of what they call
        needed = "a C++ compiler (g++) and Python's headers" if device.type == "cpu" else "Triton and a C compiler"
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"MODEL.COMPILE: torch.compile needs {needed} for {device.type}, and failed: {reason}; expected [] here"
        ) from error


def accelerate(model: nn.Module, cfg: CfgNode) -> nn.Module:
    """The model as the config wants it to run, changed in place; names and values of its state stay the same."""
    if cfg.MODEL.CHANNELS_LAST:
        model.to(memory_format=torch.channels_last)
    if cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "bfloat16":
        with_wide_features(model)
    if cfg.MODEL.ROI_ALIGN_GRADIENT == "products":
        with_product_gradients(model)
        if cfg.MODEL.DEVICE.startswith("cuda"):
            logger.info("MODEL.ROI_ALIGN_GRADIENT products: for CPUs alone, so nothing changes on the GPU")
    for name in cfg.MODEL.COMPILE:
        model.get_submodule(name).compile()
    set_tf32(cfg)
    if torch.device(cfg.MODEL.DEVICE).type == "cpu":
        keep_freed_memory()
    return model


def set_tf32(cfg: CfgNode) -> None:
    """PyTorch's switches for this process. They are for CUDA alone."""
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        if cfg.SOLVER.TF32 != "convolutions":
            logger.info(f"SOLVER.TF32 {cfg.SOLVER.TF32}: GPUs alone have TF32, so nothing changes on the CPU")
        return
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = TF32[cfg.SOLVER.TF32]


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """What the forward pass computes in beside float32; None: nothing."""
    return DTYPES[cfg.SOLVER.AMP.DTYPE] if cfg.SOLVER.AMP.ENABLED else None


def set_implementation(optimizer: torch.optim.Optimizer, cfg: CfgNode) -> torch.optim.Optimizer:
    """The optimizer with SOLVER.OPTIMIZER_IMPLEMENTATION in each of its groups, which stay as they are otherwise.

    Raises:
        ConfigError: it has no such implementation.
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
    # Not optimizer._step_supports_amp_scaling: gradients are unscaled before Detectron2's clipping, not in the kernel.
    return optimizer


def begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Set SGD's momentum to zeros where there is none, for SOLVER.METRICS_PERIOD above 1.

    PyTorch begins with the first gradient, which is the same unless that step is left out: its kernel would then go on
    from what memory holds.
    """
    for group in optimizer.param_groups:
        if group.get("momentum", 0) and not group.get("dampening", 0):
            for each in group["params"]:
                if optimizer.state[each].get("momentum_buffer") is None:
                    optimizer.state[each]["momentum_buffer"] = torch.zeros_like(each)


def with_wide_features(model: nn.Module) -> None:
    """Let a detector's heads get float32 features, with SOLVER.AMP.DTYPE bfloat16.

    Detectron2 gives RoIAlign the boxes in the features' type, and bfloat16's 8 bits would move an edge at 800 pixels by
    up to 2. RoIAlign computes in float32 anyway.
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
