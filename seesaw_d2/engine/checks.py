"""What can be wrong with a job, found before anything is computed or written."""

import difflib
import functools
import glob
import logging
import os
import shutil

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, build_model

from seesaw_d2.data import register_datasets
from seesaw_d2.data.sampling import validate_sampling
from seesaw_d2.engine.checkpointing import SeesawCheckpointer, check_weights_file
from seesaw_d2.engine.monitoring import check_monitoring
from seesaw_d2.engine.schedule import Schedule, apply_schedule, check_schedule
from seesaw_d2.engine.tasks import task_of
from seesaw_d2.engine.torchvision_weights import NAMES, SCHEME
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import freeze

# What a training run leaves in OUTPUT_DIR and would lose or mix with another's.
RUN_FILES = ("last_checkpoint", "*.pth", "metrics.json", "events.out.tfevents.*", "inference")


def check_job(cfg: CfgNode, *, eval_only: bool, resume: bool, overwrite: bool, world_size: int) -> Schedule | None:
    """Check a config and its files; resolve ``MODEL.DEVICE: auto`` and the schedule in place.

    Returns:
        the schedule of the training; None with ``eval_only``.

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
    check_schedule(cfg)
    validate_sampling(cfg)
    register_datasets(cfg)
    task = task_of(cfg)
    task.validate_datasets(cfg, training=not eval_only)
    task.check_model(cfg)
    check_monitoring(cfg)
    if eval_only:
        return None
    check_partial_training(cfg, resume=resume)
    schedule = apply_schedule(cfg)
    check_output_folder(cfg.OUTPUT_DIR, resume=resume, overwrite=overwrite)
    return schedule


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
    _check_name(cfg, "MODEL.META_ARCHITECTURE", META_ARCH_REGISTRY)
    for key, registry in task_of(cfg).registries.items():
        _check_name(cfg, key, registry)


def _check_name(cfg: CfgNode, key: str, registry) -> None:
    name = functools.reduce(getattr, key.split("."), cfg)
    if name not in registry:
        known = [known for known, _ in registry]
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ConfigError(f"{key}: expected one of {', '.join(sorted(known))}, found {name!r}{hint}")


def check_weights(cfg: CfgNode, *, eval_only: bool, resume: bool) -> None:
    """``MODEL.WEIGHTS`` is given where it is needed, and can be read."""
    if resume and os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "last_checkpoint")):
        return
    if eval_only and not cfg.MODEL.WEIGHTS:
        raise ConfigError(
            "MODEL.WEIGHTS: --eval-only needs the weights to evaluate, found none; "
            f"add MODEL.WEIGHTS path/to/model.pth, or --resume for the last checkpoint in {cfg.OUTPUT_DIR}"
        )
    if cfg.MODEL.WEIGHTS.startswith(SCHEME):
        check_torchvision_config(cfg)
    if cfg.MODEL.WEIGHTS:
        check_weights_file(cfg.MODEL.WEIGHTS)


def check_partial_training(cfg: CfgNode, *, resume: bool) -> None:
    """``MODEL.FREEZE`` and ``MODEL.WEIGHTS_EXCEPT`` fit the model and its weights.

    Only building the model and loading the weights can tell, so a job with these keys does both twice; the
    first time on the CPU.
    """
    names, exceptions, left_out = cfg.MODEL.FREEZE.NAMES, cfg.MODEL.FREEZE.EXCEPT, cfg.MODEL.WEIGHTS_EXCEPT
    scales_weights = cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME == "LWSLinear"
    if not (names or exceptions or left_out or scales_weights):
        return
    on_cpu = cfg.clone()
    on_cpu.defrost()
    on_cpu.MODEL.DEVICE = "cpu"
    model = freeze(build_model(on_cpu), names, exceptions)
    checkpointer = SeesawCheckpointer(model, left_out=left_out)
    if resume and os.path.isfile(os.path.join(cfg.OUTPUT_DIR, "last_checkpoint")):
        return
    if not cfg.MODEL.WEIGHTS:
        raise ConfigError(
            "MODEL.WEIGHTS: expected the trained model to start from, as MODEL.FREEZE, MODEL.WEIGHTS_EXCEPT or the "
            "classifier LWSLinear train only a part of it; found none"
        )
    checkpointer.logger = logging.Logger("silent")  # the training says it all again
    checkpointer.logger.addHandler(logging.NullHandler())
    checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[])


def check_torchvision_config(cfg: CfgNode) -> None:
    """The model is the one that torchvision's weights are for; with Detectron2's defaults it would not be."""
    name = cfg.MODEL.WEIGHTS.removeprefix(SCHEME)
    if name not in NAMES:
        return  # its download will refuse it
    expected = {
        "MODEL.RESNETS.DEPTH": (cfg.MODEL.RESNETS.DEPTH, int(name.removeprefix("resnet"))),
        "MODEL.RESNETS.STRIDE_IN_1X1": (cfg.MODEL.RESNETS.STRIDE_IN_1X1, False),
        "INPUT.FORMAT": (cfg.INPUT.FORMAT, "RGB"),
    }
    for key, (found, value) in expected.items():
        if found != value:
            raise ConfigError(f"{key}: expected {value!r} with MODEL.WEIGHTS {cfg.MODEL.WEIGHTS}, found {found!r}")


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
