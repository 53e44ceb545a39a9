"""What can be wrong with a job, found before anything is computed or written."""

import functools
import logging
import math
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY

from seesaw_d2.config.device import replace_auto_device
from seesaw_d2.config.loading import read_value
from seesaw_d2.data import register_datasets
from seesaw_d2.data.sampling.repeat_factors import validate_sampling
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import freeze
from seesaw_d2.modeling.building import build_model
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.train.acceleration import check_acceleration, check_compilation
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer, check_weights_file
from seesaw_d2.train.checkpoints.resume_files import resume_file
from seesaw_d2.train.launch.process_layout import World
from seesaw_d2.train.monitoring import check_monitoring
from seesaw_d2.train.preflight.architectures import PRECOMPUTED, check_architecture, check_proposals
from seesaw_d2.train.preflight.categories import check_recorded_counts, used_categories
from seesaw_d2.train.preflight.keys import Layer, check_written
from seesaw_d2.train.preflight.output_folder import check_output_folder
from seesaw_d2.train.preflight.schedule import Schedule, apply_schedule, check_schedule, scale_to_processes
from seesaw_d2.train.tasks import task_of
from seesaw_d2.weights.torchvision_backbones import SCHEME, check_torchvision_config


def check_job(
    cfg: CfgNode,
    *,
    eval_only: bool,
    resume: bool,
    overwrite: bool,
    world_size: int = 1,
    main_machine: bool = True,
    written: Sequence[Layer] = (),
) -> Schedule | None:
    """Check a config and its files; resolve ``MODEL.DEVICE: auto`` and the schedule in place.

    The schedule is scaled to the number of processes first, where SOLVER.REFERENCE_WORLD_SIZE says so.

    The model is built and its weights are loaded once for it, on the CPU, since only that shows every mistake.

    Args:
        cfg: not frozen.
        eval_only, resume, overwrite: what the command line says.
        world_size: processes of the job.
        written: what the user wrote, of ``written_layers``; () where the config was not read from files.
        main_machine: whether OUTPUT_DIR is this machine's to check: on a shared disk the first one's run is in it.

    Returns:
        the schedule of the training; None with ``eval_only``.

    Raises:
        ConfigError, DataError, WeightsError: the first thing that is wrong, by its key or file.
    """
    resolve_device(cfg)
    check_names(cfg)
    check_written(cfg, written)
    scaled_from = scale_to_processes(cfg, world_size)
    check_solver(cfg, world_size)
    check_acceleration(cfg)
    if main_machine:
        # An evaluation adds to the folder of its run.
        check_output_folder(
            cfg.OUTPUT_DIR, resume=resume or eval_only, overwrite=overwrite and not eval_only, weights=cfg.MODEL.WEIGHTS
        )
    check_weights(cfg, eval_only=eval_only, resume=resume)
    check_schedule(cfg)
    validate_sampling(cfg)
    register_datasets(cfg)
    task = task_of(cfg)
    task.validate_datasets(cfg, training=not eval_only)
    if not eval_only:
        check_recorded_counts(cfg)
    check_monitoring(cfg)
    rehearse(cfg, eval_only=eval_only, resume=resume)
    if eval_only:
        return None
    return apply_schedule(cfg, scaled_from)


def resolve_device(cfg: CfgNode, world: World | None = None) -> None:
    """Replace ``MODEL.DEVICE: auto`` by cuda or cpu; refuse GPUs that are not there, for this machine's processes."""
    replace_auto_device(cfg, cpu=world is not None and world.starter == "--num-processes")
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.DEVICE: expected a CUDA device, as {cfg.MODEL.DEVICE!r} says, and found none; "
            "add MODEL.DEVICE cpu to run on the CPU"
        )
    if cfg.MODEL.DEVICE == "cpu" and cfg.SOLVER.AMP.ENABLED and cfg.SOLVER.AMP.DTYPE == "float16":
        raise ConfigError(
            "SOLVER.AMP.ENABLED: expected False on the CPU (MODEL.DEVICE cpu), or SOLVER.AMP.DTYPE bfloat16; found "
            f"True with {cfg.SOLVER.AMP.DTYPE}"
        )
    if world and world.size > 1:
        _check_processes(cfg, world)


def _check_processes(cfg: CfgNode, world: World) -> None:
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        if world.starter == "--num-gpus":
            raise ConfigError(
                f"--num-gpus: expected at most 1 with MODEL.DEVICE {cfg.MODEL.DEVICE}, found {world.local_size}; "
                "for several processes on the CPU there is --num-processes"
            )
        return
    if world.starter == "--num-processes":
        raise ConfigError(
            f"--num-processes: expected MODEL.DEVICE cpu with it, found {cfg.MODEL.DEVICE!r}; for GPUs there is "
            "--num-gpus"
        )
    gpus = torch.cuda.device_count()
    # srun --gpus-per-task shows each process its own GPU alone.
    if world.local_size > gpus and not (world.starter == "srun" and gpus == 1):
        raise ConfigError(
            f"{world.starter}: expected at most {gpus} processes, as many as this machine has GPUs, found "
            f"{world.local_size}"
        )


def check_solver(cfg: CfgNode, world_size: int) -> None:
    """Numbers of the training that Detectron2 would stumble over, after ``scale_to_processes``."""
    batch = cfg.SOLVER.IMS_PER_BATCH
    if batch < 1 or batch % world_size:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH: expected a positive multiple of the {world_size} processes, found {batch}"
        )
    if not 0 < cfg.SOLVER.COLLECTIVE_TIMEOUT < math.inf:
        raise ConfigError(
            f"SOLVER.COLLECTIVE_TIMEOUT: expected a number of minutes > 0, found {cfg.SOLVER.COLLECTIVE_TIMEOUT}"
        )
    for key in ("MAX_SKIPPED_STEPS", "CHECKPOINT_KEEP"):
        if getattr(cfg.SOLVER, key) < 0:
            raise ConfigError(f"SOLVER.{key}: expected at least 0, found {cfg.SOLVER[key]}")
    if cfg.SOLVER.CHECKPOINT_BEST and not cfg.DATASETS.TEST:
        raise ConfigError(
            f"SOLVER.CHECKPOINT_BEST: {cfg.SOLVER.CHECKPOINT_BEST!r} needs evaluations, expected data sets in "
            "DATASETS.TEST, found none"
        )
    if cfg.SOLVER.CHECKPOINT_PERIOD < 1:
        raise ConfigError(f"SOLVER.CHECKPOINT_PERIOD: expected at least 1, found {cfg.SOLVER.CHECKPOINT_PERIOD}")
    if not isinstance(cfg.SOLVER.MAX_ITER, int):  # a LazyConfig's
        raise ConfigError(f"SOLVER.MAX_ITER: expected a whole number, found {cfg.SOLVER.MAX_ITER}")
    if cfg.SOLVER.MAX_ITER < 1:
        raise ConfigError(f"SOLVER.MAX_ITER: expected at least 1, found {cfg.SOLVER.MAX_ITER}")
    schedulers = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR")  # the last one on main
    if cfg.SOLVER.LR_SCHEDULER_NAME not in schedulers:
        raise ConfigError(
            f"SOLVER.LR_SCHEDULER_NAME: expected one of {', '.join(schedulers)}, found {cfg.SOLVER.LR_SCHEDULER_NAME!r}"
        )


def check_names(cfg: CfgNode) -> None:
    """Every NAME in the config is that of a registered class, and the meta-architecture can be trained here."""
    _check_name(cfg, "MODEL.META_ARCHITECTURE", META_ARCH_REGISTRY)
    check_architecture(cfg)
    check_proposals(cfg)
    for key, registry in task_of(cfg).registries.items():
        if (key, read_value(cfg, key)) != PRECOMPUTED:
            _check_name(cfg, key, registry)


def _check_name(cfg: CfgNode, key: str, registry) -> None:
    name = functools.reduce(getattr, key.split("."), cfg)
    if name not in registry:
        known = [known for known, _ in registry]
        hint = did_you_mean(near_names(name, known))
        raise ConfigError(f"{key}: expected one of {', '.join(sorted(known))}, found {name!r}{hint}")


def check_weights(cfg: CfgNode, *, eval_only: bool, resume: bool) -> None:
    """``MODEL.WEIGHTS`` is given where it is needed, and can be read."""
    if resume and resume_file(cfg.OUTPUT_DIR):
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


def check_trained(cfg: CfgNode, hint: str) -> None:
    """``MODEL.WEIGHTS`` can be read, and are not those that a training starts from: nothing but them makes a model.

    Args:
        hint: how they are given, for the message.
    """
    weights = cfg.MODEL.WEIGHTS
    if not weights or weights.startswith((SCHEME, "detectron2://ImageNetPretrained/")):
        found = f"{weights}, a backbone's, which trainings start from" if weights else "none"
        raise ConfigError(f"MODEL.WEIGHTS: expected the model's weights, found {found}; {hint}")
    check_weights(cfg, eval_only=True, resume=False)


def rehearse(cfg: CfgNode, *, eval_only: bool, resume: bool) -> None:
    """Build the model and load its weights as the job will: on the CPU, and without a word where they fit.

    What is wrong with the model's config, its own builders find.
    """
    on_cpu = cfg.clone()
    on_cpu.defrost()
    on_cpu.MODEL.DEVICE = "cpu"
    model = build_model(on_cpu)
    task_of(cfg).check_model(cfg, model)
    check_compilation(cfg, model)
    freeze(model, cfg.MODEL.FREEZE.NAMES, cfg.MODEL.FREEZE.EXCEPT)
    continues = resume and resume_file(cfg.OUTPUT_DIR) is not None
    left_out = () if eval_only else cfg.MODEL.WEIGHTS_EXCEPT
    checkpointer = SeesawCheckpointer(
        model,
        cfg.OUTPUT_DIR,
        strict=eval_only or continues,
        left_out=left_out,
        categories=used_categories(cfg, "TEST" if eval_only else "TRAIN"),
    )
    if not (cfg.MODEL.WEIGHTS or continues):
        _refuse_partial_training_from_nothing(cfg)
        return
    checkpointer.logger = logging.Logger("silent")  # the job says it all again
    checkpointer.logger.addHandler(logging.NullHandler())
    path = checkpointer.get_checkpoint_file() if continues else cfg.MODEL.WEIGHTS
    checkpointer.load(path, checkpointables=[])


def _refuse_partial_training_from_nothing(cfg: CfgNode) -> None:
    parts = cfg.MODEL.FREEZE.NAMES or cfg.MODEL.FREEZE.EXCEPT or cfg.MODEL.WEIGHTS_EXCEPT
    if parts or cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME == "LWSLinear":
        raise ConfigError(
            "MODEL.WEIGHTS: expected the trained model to start from, as MODEL.FREEZE, MODEL.WEIGHTS_EXCEPT or the "
            "classifier LWSLinear train only a part of it; found none"
        )
