"""What can be wrong with a job, found before anything is computed or written."""

import difflib
import glob
import os
import shutil

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    PROPOSAL_GENERATOR_REGISTRY,
    ROI_HEADS_REGISTRY,
)
from detectron2.modeling.proposal_generator.rpn import RPN_HEAD_REGISTRY
from detectron2.modeling.roi_heads import ROI_BOX_HEAD_REGISTRY, ROI_MASK_HEAD_REGISTRY

from seesaw_d2.config import add_seesaw_config
from seesaw_d2.data import register_datasets, training_statistics, validate_datasets
from seesaw_d2.engine.checkpointing import check_weights_file
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation import check_options
from seesaw_d2.evaluation.classification import check_heads
from seesaw_d2.losses import build_loss
from seesaw_d2.modeling.box_predictor import check_classifier_config

REGISTRIES = {
    "MODEL.META_ARCHITECTURE": META_ARCH_REGISTRY,
    "MODEL.BACKBONE.NAME": BACKBONE_REGISTRY,
    "MODEL.PROPOSAL_GENERATOR.NAME": PROPOSAL_GENERATOR_REGISTRY,
    "MODEL.RPN.HEAD_NAME": RPN_HEAD_REGISTRY,
    "MODEL.ROI_HEADS.NAME": ROI_HEADS_REGISTRY,
    "MODEL.ROI_BOX_HEAD.NAME": ROI_BOX_HEAD_REGISTRY,
    "MODEL.ROI_MASK_HEAD.NAME": ROI_MASK_HEAD_REGISTRY,
}
# What a training run leaves in OUTPUT_DIR and would lose or mix with another's.
RUN_FILES = ("last_checkpoint", "*.pth", "metrics.json", "events.out.tfevents.*", "inference")


def check_job(cfg: CfgNode, *, eval_only: bool, resume: bool, overwrite: bool, world_size: int) -> None:
    """Check a config and its files; resolve ``MODEL.DEVICE: auto`` in place.

    Raises:
        ConfigError, DataError, WeightsError: the first thing that is wrong, by its key or file.
    """
    resolve_device(cfg, world_size)
    check_names(cfg)
    if cfg.SOLVER.IMS_PER_BATCH % world_size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH: expected a multiple of the {world_size} processes, found {cfg.SOLVER.IMS_PER_BATCH}"
        )
    check_weights(cfg, eval_only=eval_only, resume=resume)
    register_datasets(cfg)
    validate_datasets(cfg, training=not eval_only)
    check_loss(cfg)
    check_options(cfg.TEST.LVIS_ENGINE, cfg.TEST.LVIS_METRICS)
    if cfg.TEST.CLASSIFICATION_ACCURACY:
        check_heads(ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME))
    if not eval_only:
        check_output_folder(cfg.OUTPUT_DIR, resume=resume, overwrite=overwrite)


def resolve_device(cfg: CfgNode, world_size: int) -> None:
    """Replace ``MODEL.DEVICE: auto`` by cuda or cpu; refuse GPUs that are not there."""
    if cfg.MODEL.DEVICE == "auto":
        cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.DEVICE: expected a CUDA device, as {cfg.MODEL.DEVICE!r} says, and found none; "
            "add MODEL.DEVICE cpu to train on the CPU"
        )
    if cfg.MODEL.DEVICE == "cpu" and cfg.SOLVER.AMP.ENABLED:
        raise ConfigError("SOLVER.AMP.ENABLED: expected False on the CPU (MODEL.DEVICE cpu), found True")


def check_names(cfg: CfgNode) -> None:
    """Every NAME in the config is that of a registered class."""
    for key, registry in REGISTRIES.items():
        name = cfg
        for part in key.split("."):
            name = name[part]
        if name not in registry:
            known = [known for known, _ in registry]
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise ConfigError(f"{key}: expected one of {', '.join(sorted(known))}, found {name!r}{hint}")


def check_loss(cfg: CfgNode) -> None:
    """Build the classification loss once, for its own checks; refuse one that the ROI heads would not use."""
    box_head = cfg.MODEL.ROI_BOX_HEAD
    if ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME).__module__.startswith("detectron2."):
        defaults = get_cfg()
        add_seesaw_config(defaults)
        for key in ("CLS_LOSS", "CLS_PREDICTOR"):
            if box_head[key] != defaults.MODEL.ROI_BOX_HEAD[key]:
                raise ConfigError(
                    f"MODEL.ROI_BOX_HEAD.{key} is set, and MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME!r}, a head "
                    "of Detectron2's, does not use it: expected SeesawROIHeads or SeesawCascadeROIHeads"
                )
        return
    check_classifier_config(box_head.CLS_PREDICTOR)
    build_loss(cfg, cfg.MODEL.ROI_HEADS.NUM_CLASSES, lambda: training_statistics(cfg))


def check_weights(cfg: CfgNode, *, eval_only: bool, resume: bool) -> None:
    """``MODEL.WEIGHTS`` is given where it is needed, and can be read."""
    if resume and os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "last_checkpoint")):
        return
    if eval_only and not cfg.MODEL.WEIGHTS:
        raise ConfigError(
            "MODEL.WEIGHTS: --eval-only needs the weights to evaluate, found none; "
            f"add MODEL.WEIGHTS path/to/model.pth, or --resume for the last checkpoint in {cfg.OUTPUT_DIR}"
        )
    if cfg.MODEL.WEIGHTS:
        check_weights_file(cfg.MODEL.WEIGHTS)


def check_output_folder(folder: str, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds another run; with ``overwrite``, remove that run from it."""
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite: expected one of them, found both")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ConfigError(f"OUTPUT_DIR: expected a folder, found the file {folder}")
    found = [path for pattern in RUN_FILES for path in glob.glob(os.path.join(glob.escape(folder), pattern))]
    found = [path for path in found if os.path.isdir(path) or os.path.getsize(path)]
    if not found or resume:
        return
    if not overwrite:
        names = ", ".join(sorted(os.path.basename(path) for path in found)[:4])
        raise ConfigError(
            f"OUTPUT_DIR: {folder} holds another run ({names}, ...): continue it with --resume, replace it with "
            "--overwrite, or name another folder with OUTPUT_DIR path"
        )
    for path in found:
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
