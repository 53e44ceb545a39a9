"""Check and apply the options for faster training, such as mixed precision, compilation and fused optimizers."""

import logging
from collections.abc import Mapping

import torch
from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.compat import has_fast_bfloat16
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.roi_align_gradient import with_product_gradients
from seesaw_d2.utils.malloc import keep_freed_memory

logger = logging.getLogger(__name__)

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# Maps each value of SOLVER.TF32 to two booleans: whether matrix products use TF32, and whether convolutions use it.
TF32 = {"convolutions": (False, True), "all": (True, True), "none": (False, False)}
# Maps values of SOLVER.OPTIMIZER_IMPLEMENTATION to options of PyTorch's optimizers. The dict has no "auto", because
# this value leaves the optimizer as Detectron2 has built it.
IMPLEMENTATIONS = {
    "for-loop": {"foreach": False, "fused": None},
    "foreach": {"foreach": True, "fused": None},
    "fused": {"foreach": None, "fused": True},
}
# Detectron2's trainer writes metrics every 20 iterations. SOLVER.METRICS_PERIOD must divide 20, so that all losses have
# been read from the GPU when the trainer writes them.
WRITERS_PERIOD = 20


def check_acceleration(cfg: CfgNode) -> None:
    """Check the config keys for faster training, such as SOLVER.AMP.DTYPE. ``check_compilation`` checks MODEL.COMPILE.

    Raises:
        ConfigError: a value is not allowed, or SOLVER.METRICS_PERIOD is above 1 without the fused optimizer or with
            float16.
    """
    _one_of("SOLVER.AMP.DTYPE", cfg.SOLVER.AMP.DTYPE, DTYPES)
    _one_of("MODEL.ROI_ALIGN_GRADIENT", cfg.MODEL.ROI_ALIGN_GRADIENT, ("torchvision", "products"))
    _one_of("SOLVER.TF32", cfg.SOLVER.TF32, TF32)
    _one_of("SOLVER.OPTIMIZER_IMPLEMENTATION", cfg.SOLVER.OPTIMIZER_IMPLEMENTATION, ("auto", *IMPLEMENTATIONS))
    period = cfg.SOLVER.METRICS_PERIOD
    if period < 1 or WRITERS_PERIOD % period:
        raise ConfigError(
            f"SOLVER.METRICS_PERIOD: expected a divisor of {WRITERS_PERIOD}, found {period}. The run writes "
            f"metrics every {WRITERS_PERIOD} iterations."
        )
    scaled = cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "float16"
    implementation = cfg.SOLVER.OPTIMIZER_IMPLEMENTATION
    if period > 1 and (implementation != "fused" or scaled):
        key, needed, found = "SOLVER.OPTIMIZER_IMPLEMENTATION", "fused", implementation
        if implementation == "fused":
            key, needed, found = "SOLVER.AMP.DTYPE", "bfloat16", "float16"
        raise ConfigError(
            f"SOLVER.METRICS_PERIOD: expected 1 with {key} {found}, found {period}. A longer period requires {key} "
            f"{needed}."
        )


def check_compilation(cfg: CfgNode, model: nn.Module) -> None:
    """Check that the model contains the modules named in MODEL.COMPILE, and that torch.compile works on this machine.

    Raises:
        ConfigError: the model has no module with one of the names, or torch.compile fails for a small function.
    """
    parts = dict(model.named_modules())
    for name in cfg.MODEL.COMPILE:
        if not name or name not in parts:
            raise ConfigError(
                "MODEL.COMPILE: expected names of modules in the model, such as "
                f"{', '.join(dict(model.named_children()))}, found {name!r}"
            )
    if cfg.MODEL.COMPILE:
        try_compiler(torch.device(cfg.MODEL.DEVICE))


def try_compiler(device: torch.device) -> None:
    """Compile and run a small function, to find out before a training whether torch.compile works on ``device``.

    Raises:
        ConfigError: the compilation fails. The message contains the compiler's error.
    """
    try:
        torch.compile(lambda x: x.sin() + x)(torch.ones(8, device=device))
    except Exception as error:  # the compiler and Triton can raise errors of any type
        needed = "a C++ compiler (g++) and Python's headers" if device.type == "cpu" else "Triton and a C compiler"
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"MODEL.COMPILE: torch.compile does not work on this machine ({reason}). With MODEL.DEVICE {device.type}, "
            f"it needs {needed}. Install them, or set MODEL.COMPILE to []."
        ) from error


def accelerate(model: nn.Module, cfg: CfgNode) -> nn.Module:
    """Apply the config keys for faster training, such as MODEL.COMPILE, to ``model`` in place, and return ``model``.

    The state dict of the model stays the same. Two changes affect the whole process, not only the model. On a GPU, the
    function sets PyTorch's TF32 flags. On a CPU, it makes the C library keep freed memory for later tensors.
    """
    if cfg.MODEL.CHANNELS_LAST:
        model.to(memory_format=torch.channels_last)
    if cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "bfloat16":
        with_wide_features(model)
    if cfg.MODEL.ROI_ALIGN_GRADIENT == "products":
        with_product_gradients(model)
        if cfg.MODEL.DEVICE.startswith("cuda"):
            logger.info("MODEL.ROI_ALIGN_GRADIENT products has no effect on a GPU. It only speeds up training on CPUs")
    for name in cfg.MODEL.COMPILE:
        model.get_submodule(name).compile()
    set_tf32(cfg)
    if torch.device(cfg.MODEL.DEVICE).type == "cpu":
        keep_freed_memory()
    return model


def set_tf32(cfg: CfgNode) -> None:
    """Set PyTorch's TF32 flags for matrix products and convolutions from SOLVER.TF32. On a CPU, change no flag."""
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        if cfg.SOLVER.TF32 != "convolutions":
            logger.info(f"SOLVER.TF32 {cfg.SOLVER.TF32} has no effect on the CPU. Only GPUs support TF32")
        return
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = TF32[cfg.SOLVER.TF32]


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """Return the data type of mixed precision, or None if SOLVER.AMP.ENABLED is False."""
    return DTYPES[cfg.SOLVER.AMP.DTYPE] if cfg.SOLVER.AMP.ENABLED else None


def precision_warnings(cfg: CfgNode) -> tuple[str, ...]:
    """Return a tuple with a warning if the config selects bfloat16 on a CPU that only emulates bfloat16, else ()."""
    if cfg.MODEL.DEVICE != "cpu" or amp_dtype(cfg) != torch.bfloat16 or has_fast_bfloat16():
        return ()
    return (
        "SOLVER.AMP.ENABLED: expected False on this CPU, found True with SOLVER.AMP.DTYPE bfloat16. The CPU "
        f"({torch.backends.cpu.get_cpu_capability()}) has no instructions for bfloat16. A convolution can take 100 "
        "times as long as in float32",
    )


def set_implementation(optimizer: torch.optim.Optimizer, cfg: CfgNode) -> torch.optim.Optimizer:
    """Make an optimizer use the implementation in SOLVER.OPTIMIZER_IMPLEMENTATION, such as "fused".

    With "auto", the optimizer stays unchanged. The function changes the optimizer in place, and returns it.

    Raises:
        ConfigError: the value is not "auto", but the optimizer's class has only one implementation.
    """
    name = cfg.SOLVER.OPTIMIZER_IMPLEMENTATION
    if name == "auto":
        return optimizer
    if "fused" not in optimizer.defaults:
        raise ConfigError(
            f'SOLVER.OPTIMIZER_IMPLEMENTATION: expected "auto" with the optimizer {type(optimizer).__name__}, found '
            f"{name!r}. This optimizer has only one implementation."
        )
    for group in (optimizer.defaults, *optimizer.param_groups):
        group.update(IMPLEMENTATIONS[name])
    # Do not set optimizer._step_supports_amp_scaling. With this attribute, the fused kernel would unscale the gradients
    # of mixed precision only after Detectron2 has clipped them.
    return optimizer


def begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Set missing momentum buffers of SGD to zero, before the first step with SOLVER.METRICS_PERIOD above 1.

    If the fused kernel skips the first step because of a non-finite gradient, it leaves new buffers uninitialized.

    Zeros do not change the first step. Without a buffer, PyTorch uses the gradient as the first momentum, which equals
    momentum * 0 + gradient. With dampening, the two values differ. Therefore the function skips parameter groups with
    dampening.
    """
    for group in optimizer.param_groups:
        if group.get("momentum", 0) and not group.get("dampening", 0):
            for each in group["params"]:
                if optimizer.state[each].get("momentum_buffer") is None:
                    optimizer.state[each]["momentum_buffer"] = torch.zeros_like(each)


def with_wide_features(model: nn.Module) -> None:
    """Make the backbone of a detector return float32 features instead of bfloat16 features.

    Before RoIAlign, Detectron2 converts the boxes to the data type of the features. Because bfloat16 has 8 bits of
    precision, the conversion would move an edge at 800 pixels by up to 2 pixels. RoIAlign itself computes in float32.
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
