"""Check the parts of a config that do not depend on data: device, processes, solver and names of registered classes."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from detectron2.config import CfgNode
from detectron2.modeling import (
    ANCHOR_GENERATOR_REGISTRY,
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_HEADS_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
)
from detectron2.modeling.proposal_generator.rpn import RPN_HEAD_REGISTRY
from detectron2.modeling.roi_heads import ROI_BOX_HEAD_REGISTRY, ROI_KEYPOINT_HEAD_REGISTRY, ROI_MASK_HEAD_REGISTRY

from seesaw_d2.config.device import replace_auto_device
from seesaw_d2.config.loading import read_value
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.heads_checks import is_c4
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.preflight.architectures import (
    PRECOMPUTED,
    check_architecture,
    check_classification,
    check_proposals,
)
from seesaw_d2.train.tasks.base import task_name

# Allowed values of SOLVER.LR_SCHEDULER_NAME. WarmupStepWithFixedGammaLR exists only in Detectron2's main branch.
SCHEDULERS = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR")

# For each task, maps config keys to registries. The value of a key must be a name in the registry of the key.
REGISTRIES = {
    "detection": {
        "MODEL.BACKBONE.NAME": BACKBONE_REGISTRY,
        "MODEL.PROPOSAL_GENERATOR.NAME": PROPOSAL_GENERATOR_REGISTRY,
        "MODEL.ANCHOR_GENERATOR.NAME": ANCHOR_GENERATOR_REGISTRY,
        "MODEL.RPN.HEAD_NAME": RPN_HEAD_REGISTRY,
        "MODEL.ROI_HEADS.NAME": ROI_HEADS_REGISTRY,
        "MODEL.ROI_BOX_HEAD.NAME": ROI_BOX_HEAD_REGISTRY,
        "MODEL.ROI_MASK_HEAD.NAME": ROI_MASK_HEAD_REGISTRY,
        "MODEL.ROI_KEYPOINT_HEAD.NAME": ROI_KEYPOINT_HEAD_REGISTRY,
        "MODEL.SEM_SEG_HEAD.NAME": SEM_SEG_HEADS_REGISTRY,
    },
    "one-stage detection": {
        "MODEL.BACKBONE.NAME": BACKBONE_REGISTRY,
        "MODEL.ANCHOR_GENERATOR.NAME": ANCHOR_GENERATOR_REGISTRY,
    },
    "segmentation": {"MODEL.BACKBONE.NAME": BACKBONE_REGISTRY, "MODEL.SEM_SEG_HEAD.NAME": SEM_SEG_HEADS_REGISTRY},
    "classification": {"MODEL.BACKBONE.NAME": BACKBONE_REGISTRY},
}

_BOX_LOSSES = ("smooth_l1", "giou", "diou", "ciou")
# Maps config keys to their allowed values. Detectron2 would find a wrong value only later, when it builds the model or
# in the first training step.
_CHOICES = {
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": _BOX_LOSSES,
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": _BOX_LOSSES,
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": _BOX_LOSSES,
    "MODEL.FPN.FUSE_TYPE": ("sum", "avg"),
}


def resolve_device(cfg: CfgNode, world: ProcessLayout | None = None, *, training: bool = True) -> None:
    """Replace the value ``auto`` of MODEL.DEVICE in place, and check that the job can run on the device.

    Args:
        cfg: config, not frozen.
        world: layout of the job's processes. Each process on GPUs needs its own GPU. If None, the number of GPUs is not
            checked.
        training: whether the program trains. If False, SOLVER.AMP is not checked, because only trainings read it.

    Raises:
        ConfigError: the machine has too few GPUs, a training has SOLVER.AMP.DTYPE float16 on a CPU, or the option for
            the number of processes is for another device.
    """
    replace_auto_device(cfg, cpu=world is not None and world.starter == "--num-processes")
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}, but PyTorch finds no usable CUDA device on this machine. To run on "
            "the CPU, add MODEL.DEVICE cpu."
        )
    amp = cfg.SOLVER.AMP
    if training and cfg.MODEL.DEVICE == "cpu" and amp.ENABLED and amp.DTYPE == "float16":
        raise ConfigError(
            "SOLVER.AMP.DTYPE: expected bfloat16 with SOLVER.AMP.ENABLED True on the CPU, found "
            f"{amp.DTYPE}. Mixed precision with float16 needs a GPU."
        )
    if world and world.size > 1:
        _check_processes(cfg, world)


def _check_processes(cfg: CfgNode, world: ProcessLayout) -> None:
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        if world.starter == "--num-gpus":
            raise ConfigError(
                f"--num-gpus: expected at most 1 with MODEL.DEVICE {cfg.MODEL.DEVICE}, found {world.local_size}. To "
                "start several processes on the CPU, use --num-processes."
            )
        return
    if world.starter == "--num-processes":
        raise ConfigError(
            f"--num-processes: expected MODEL.DEVICE cpu, found MODEL.DEVICE {cfg.MODEL.DEVICE}. To start one process "
            "per GPU, use --num-gpus."
        )
    if cfg.MODEL.DEVICE != "cuda":
        raise ConfigError(
            f"MODEL.DEVICE: expected cuda with {world.size} processes, found {cfg.MODEL.DEVICE}. Each process selects "
            "its own GPU."
        )
    gpus = torch.cuda.device_count()
    # With srun --gpus-per-task, each process sees only its own GPU, so that a single visible GPU is enough.
    if world.local_size > gpus and not (world.starter == "srun" and gpus == 1):
        raise ConfigError(
            f"{world.starter}: expected at most {gpus} processes on this machine, found {world.local_size} processes. "
            f"Each process needs its own GPU, and PyTorch finds {gpus} GPUs."
        )


def check_solver(cfg: CfgNode, world_size: int) -> None:
    """Check batch size, timeout, numbers of iterations and the name of the scheduler in SOLVER.

    Args:
        cfg: a config that ``scale_to_processes`` has scaled to ``world_size`` processes.
        world_size: number of processes of the job.

    Raises:
        ConfigError: a value is out of range.
    """
    batch = cfg.SOLVER.IMS_PER_BATCH
    if batch < 1 or batch % world_size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH: expected a positive multiple of {world_size} (number of processes), found {batch}"
        )
    if not 0 < cfg.SOLVER.COLLECTIVE_TIMEOUT < math.inf:
        raise ConfigError(
            f"SOLVER.COLLECTIVE_TIMEOUT: expected a finite number of minutes > 0, found {cfg.SOLVER.COLLECTIVE_TIMEOUT}"
        )
    if cfg.SOLVER.CHECKPOINT_BEST and not cfg.DATASETS.TEST:
        raise ConfigError(
            "DATASETS.TEST: expected at least one dataset with SOLVER.CHECKPOINT_BEST "
            f"{cfg.SOLVER.CHECKPOINT_BEST!r}, found no dataset. Evaluations select the best checkpoint."
        )
    if not isinstance(cfg.SOLVER.MAX_ITER, int):  # in a LazyConfig, the value can have any type
        raise ConfigError(f"SOLVER.MAX_ITER: expected an integer, found {cfg.SOLVER.MAX_ITER!r}")
    for key, minimum in (("MAX_SKIPPED_STEPS", 0), ("CHECKPOINT_KEEP", 0), ("CHECKPOINT_PERIOD", 1), ("MAX_ITER", 1)):
        if (found := getattr(cfg.SOLVER, key)) < minimum:
            raise ConfigError(f"SOLVER.{key}: expected at least {minimum}, found {found}")
    if cfg.SOLVER.LR_SCHEDULER_NAME not in SCHEDULERS:
        raise ConfigError(
            f"SOLVER.LR_SCHEDULER_NAME: expected one of {', '.join(SCHEDULERS)}, found {cfg.SOLVER.LR_SCHEDULER_NAME!r}"
        )


def check_cropping(cfg: CfgNode) -> None:
    """Raise ConfigError if INPUT.CROP is enabled for polygon masks, but the required package shapely is missing."""
    polygons = cfg.MODEL.MASK_ON and cfg.INPUT.MASK_FORMAT == "polygon"
    if cfg.INPUT.CROP.ENABLED and polygons and find_spec("shapely") is None:
        raise ConfigError(
            "INPUT.CROP.ENABLED: the value True needs the package shapely to crop polygons, but shapely is not "
            "installed. Install it with: pip install shapely."
        )


def check_names(cfg: CfgNode) -> None:
    """Check the names of components such as MODEL.BACKBONE.NAME, and that this project can train the meta-architecture.

    Raises:
        ConfigError: a name is not in the registry of such components, or a value is not allowed. The message for a name
            contains the key and the most similar registered name.
    """
    _check_name(cfg, "MODEL.META_ARCHITECTURE", META_ARCH_REGISTRY)
    check_architecture(cfg)
    check_classification(cfg)
    check_proposals(cfg)
    none = {PRECOMPUTED, ("MODEL.ROI_BOX_HEAD.NAME", "")} if is_c4(cfg.MODEL.ROI_HEADS.NAME) else {PRECOMPUTED}
    for key, registry in REGISTRIES[task_name(cfg)].items():
        if (key, read_value(cfg, key)) not in none:
            _check_name(cfg, key, registry)
    for key, choices in _CHOICES.items():
        if (found := read_value(cfg, key)) not in choices:
            raise ConfigError(f"{key}: expected one of {', '.join(choices)}, found {found!r}")


@contextmanager
def name_feature_maps(cfg: CfgNode) -> Iterator[None]:
    """Convert Detectron2's KeyError for an unknown name in IN_FEATURES to a ConfigError that names the config key.

    Build the model in the ``with`` block.
    """
    try:
        yield
    except KeyError as error:
        nodes = ("ROI_HEADS", "RPN", "RETINANET", "FPN")
        keys = [f"MODEL.{node}.IN_FEATURES" for node in nodes if error.args[0] in cfg.MODEL[node].IN_FEATURES]
        if not keys:
            raise
        raise ConfigError(
            f"{keys[0]}: expected names of feature maps that the backbone returns, found {error.args[0]!r}"
        ) from error


def _check_name(cfg: CfgNode, key: str, registry) -> None:
    name = read_value(cfg, key)
    if name not in registry:
        known = sorted(known for known, _ in registry)
        hint = did_you_mean(near_names(name, known))
        raise ConfigError(f"{key}: expected one of {', '.join(known)}, found {name!r}{hint}")
