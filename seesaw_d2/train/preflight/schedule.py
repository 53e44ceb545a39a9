"""Convert schedules from epochs to iterations, and scale them to the number of processes."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from detectron2.config import CfgNode

from seesaw_d2.data.sampling.repeat_factors import WITH_EPOCHS, epoch_length
from seesaw_d2.errors import ConfigError

logger = logging.getLogger(__name__)

# These losses start at START_ITER or START_EPOCH. Both keys are converted together with the rest of the schedule.
WITH_START = ("PCB", "LDAM")


@dataclass(frozen=True)
class Schedule:
    """Length and learning rates of a training, computed from the config and the data.

    Attributes:
        num_images: number of images in the datasets. None for a schedule in iterations, as the next two attributes.
        images_per_epoch: number of images in an epoch, the sum of the repeat factors.
        iterations_per_epoch: number of iterations in an epoch.
        batch_size: number of images in an iteration over all processes.
        epochs, step_epochs: SOLVER.EPOCHS and STEP_EPOCHS. 0 and () for a schedule in iterations.
        max_iter, steps: number of iterations, and iterations after which the learning rate decreases.
        base_lr: learning rate for ``batch_size``.
        reference_lr, reference_batch_size: values from which the linear scaling rule computes ``base_lr``.
        scaled_from: number of processes that the config was written for (SOLVER.REFERENCE_WORLD_SIZE), or 0 if the
            config was not scaled.
    """

    num_images: int | None
    images_per_epoch: float | None
    iterations_per_epoch: int | None
    batch_size: int
    epochs: float
    step_epochs: tuple[float, ...]
    max_iter: int
    steps: tuple[int, ...]
    base_lr: float
    reference_lr: float
    reference_batch_size: int
    scaled_from: int = 0

    def describe(self) -> str:
        """Return the schedule as one line for the log."""
        steps = ", ".join(map(str, self.steps)) or "none"
        text = f"{self.max_iter} iterations of {self.batch_size} images, steps at {steps}"
        if self.epochs > 0:
            images = f"{self.num_images} images"
            if self.images_per_epoch != self.num_images:
                images = f"{self.images_per_epoch:.0f} images ({self.num_images} and their repetitions)"
            epochs = ", ".join(f"{epoch:g}" for epoch in self.step_epochs) or "none"
            text = f"{self.epochs:g} epochs of {images}, steps after {epochs}: {text}"
        text += f". Learning rate {self.base_lr:g}"
        if self.base_lr != self.reference_lr:
            text += f" ({self.reference_lr:g} for a batch of {self.reference_batch_size})"
        if self.scaled_from:
            text += f". The config was written for {self.scaled_from} processes (SOLVER.REFERENCE_WORLD_SIZE)"
        return text


def scale_to_processes(cfg: CfgNode, world_size: int) -> int:
    """Scale the schedule in place from SOLVER.REFERENCE_WORLD_SIZE to ``world_size`` processes.

    Let s be world_size / REFERENCE_WORLD_SIZE. As in Detectron2's ``auto_scale_workers``, IMS_PER_BATCH and BASE_LR are
    multiplied by s. Numbers of iterations are divided by s and rounded: MAX_ITER, STEPS, WARMUP_ITERS, the periods of
    evaluations and checkpoints, and START_ITER of losses. MAX_ITER and the periods stay at least 1.

    The function sets REFERENCE_WORLD_SIZE to ``world_size``. Therefore a second call changes nothing.

    Returns:
        the number of processes that the config was written for, or 0 if nothing changed.

    Raises:
        ConfigError: REFERENCE_WORLD_SIZE contradicts other keys of SOLVER.
    """
    solver = cfg.SOLVER
    _check_reference_world_size(solver)
    reference = solver.REFERENCE_WORLD_SIZE
    if reference in (0, world_size):
        return 0
    scale = world_size / reference
    solver.IMS_PER_BATCH = solver.IMS_PER_BATCH // reference * world_size
    solver.BASE_LR *= scale
    solver.STEPS = tuple(round(step / scale) if type(step) in (int, float) else step for step in solver.STEPS)
    solver.WARMUP_ITERS = round(solver.WARMUP_ITERS / scale)
    for name in WITH_START:
        node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS[name]
        node.START_ITER = round(node.START_ITER / scale)
    for node, key in ((solver, "MAX_ITER"), (solver, "CHECKPOINT_PERIOD"), (cfg.TEST, "EVAL_PERIOD")):
        if node[key] > 0:
            node[key] = max(1, round(node[key] / scale))
    solver.REFERENCE_WORLD_SIZE = world_size
    return reference


def _check_reference_world_size(solver: CfgNode) -> None:
    reference = solver.REFERENCE_WORLD_SIZE
    if reference < 0:
        raise ConfigError(f"SOLVER.REFERENCE_WORLD_SIZE: expected at least 0, found {reference}")
    for key in ("EPOCHS", "REFERENCE_BATCH_SIZE"):
        if solver[key] and reference:
            raise ConfigError(
                f"SOLVER.{key}: expected 0 with SOLVER.REFERENCE_WORLD_SIZE {reference}, found {solver[key]}. "
                "SOLVER.REFERENCE_WORLD_SIZE already scales batch size, iterations and learning rate."
            )
    if reference and (solver.IMS_PER_BATCH < 1 or solver.IMS_PER_BATCH % reference):
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH: expected a positive multiple of SOLVER.REFERENCE_WORLD_SIZE {reference}, found "
            f"{solver.IMS_PER_BATCH}"
        )


def resolve_schedule(solver: CfgNode, num_images: int | None = None, images_per_epoch: float | None = None) -> Schedule:
    """Return the schedule that SOLVER describes, with epochs converted to iterations.

    An epoch has ceil(images_per_epoch / IMS_PER_BATCH) iterations, as in MMDetection. Unlike in MMDetection, the last
    batch of an epoch is full, because Detectron2's samplers are endless. IMS_PER_BATCH counts the images of all
    processes, so that the result does not depend on the number of GPUs.

    Args:
        solver: the config node SOLVER, checked by ``check_schedule``.
        num_images, images_per_epoch: number of images in the datasets, and number of images in an epoch. Both are
            required if EPOCHS > 0.
    """
    batch_size, reference = solver.IMS_PER_BATCH, solver.REFERENCE_BATCH_SIZE
    max_iter, steps, step_epochs, per_epoch = solver.MAX_ITER, tuple(solver.STEPS), (), None
    if solver.EPOCHS > 0:
        per_epoch = math.ceil(images_per_epoch / batch_size)
        max_iter = max(1, round(solver.EPOCHS * per_epoch))
        step_epochs = tuple(solver.STEP_EPOCHS)
        steps = tuple(round(epoch * per_epoch) for epoch in step_epochs)
    return Schedule(
        num_images=num_images,
        images_per_epoch=images_per_epoch,
        iterations_per_epoch=per_epoch,
        batch_size=batch_size,
        epochs=solver.EPOCHS,
        step_epochs=step_epochs,
        max_iter=max_iter,
        steps=steps,
        base_lr=solver.BASE_LR * batch_size / reference if reference else solver.BASE_LR,
        reference_lr=solver.BASE_LR,
        reference_batch_size=reference,
    )


def apply_schedule(cfg: CfgNode, records: Sequence[Any] | None = None, *, scaled_from: int = 0) -> Schedule:
    """Compute the schedule, and set MAX_ITER, STEPS, BASE_LR and START_ITER of losses in the config in place.

    If REFERENCE_BATCH_SIZE is not 0, the function sets it to IMS_PER_BATCH, the batch size for the new BASE_LR.
    Therefore a second call changes nothing.

    Args:
        cfg: config, not frozen, checked by ``check_schedule``.
        records: dataset dicts of the training images. Required if SOLVER.EPOCHS > 0.
        scaled_from: number of processes that the config was written for, or 0 if it was not scaled. Only for messages.

    Raises:
        ConfigError: the iterations in STEPS do not increase.
    """
    num_images = images_per_epoch = None
    if cfg.SOLVER.EPOCHS > 0 and records is not None:
        num_images, images_per_epoch = len(records), epoch_length(cfg, records)
    schedule = replace(resolve_schedule(cfg.SOLVER, num_images, images_per_epoch), scaled_from=scaled_from)
    if cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupMultiStepLR":  # other schedulers ignore STEPS
        schedule = replace(schedule, steps=_steps_within(schedule))
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = schedule.max_iter, schedule.steps
    cfg.SOLVER.BASE_LR = schedule.base_lr
    if cfg.SOLVER.REFERENCE_BATCH_SIZE:
        cfg.SOLVER.REFERENCE_BATCH_SIZE = schedule.batch_size
    for name in WITH_START:
        node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS[name]
        if node.START_EPOCH > 0:
            node.START_ITER = round(node.START_EPOCH * schedule.iterations_per_epoch)
    return schedule


def _steps_within(schedule: Schedule) -> tuple[int, ...]:
    """Return the steps of the learning rate that are less than MAX_ITER, and log a warning about the other steps.

    Detectron2 ignores steps greater than MAX_ITER, and raises an error for a step equal to MAX_ITER.

    Raises:
        ConfigError: the steps do not increase. With short epochs, two values of STEP_EPOCHS can be the same iteration.
    """
    steps = schedule.steps
    if not (all(type(step) in (int, float) for step in steps) and all(a < b for a, b in pairwise([0, *steps]))):
        key = "STEP_EPOCHS" if schedule.epochs > 0 else "STEPS"
        raise ConfigError(
            f"SOLVER.{key}: expected increasing iterations above 0, found {list(steps)}"
            + (f" (computed from the epochs {list(schedule.step_epochs)})" if schedule.epochs > 0 else "")
            + (f" (scaled from {schedule.scaled_from} processes)" if schedule.scaled_from else "")
        )
    within = tuple(step for step in steps if step < schedule.max_iter)
    if within != steps:
        logger.warning(
            f"SOLVER.STEPS: ignoring {', '.join(map(str, steps[len(within) :]))}, because the training ends at "
            f"iteration {schedule.max_iter} (SOLVER.MAX_ITER)"
        )
    return within


def check_schedule(cfg: CfgNode) -> None:
    """Check EPOCHS, STEP_EPOCHS and REFERENCE_BATCH_SIZE in SOLVER, and START_EPOCH of losses.

    Raises:
        ConfigError: a value is out of range, or the sampler does not define the length of an epoch.
    """
    solver = cfg.SOLVER
    if not 0 <= solver.EPOCHS < math.inf:
        raise ConfigError(f"SOLVER.EPOCHS: expected a finite number >= 0, found {solver.EPOCHS}")
    if solver.REFERENCE_BATCH_SIZE < 0:
        raise ConfigError(f"SOLVER.REFERENCE_BATCH_SIZE: expected at least 0, found {solver.REFERENCE_BATCH_SIZE}")
    for name in WITH_START:
        start = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS[name].START_EPOCH
        if start == 0 or 0 < start < solver.EPOCHS:
            continue
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.CLS_LOSS.{name}.START_EPOCH: expected 0 or a number between 0 and SOLVER.EPOCHS "
            f"{solver.EPOCHS:g}, found {start}. With SOLVER.EPOCHS 0, set START_ITER instead."
        )
    if solver.EPOCHS == 0:
        return
    _check_steps(solver.EPOCHS, list(solver.STEP_EPOCHS))
    sampler = cfg.DATALOADER.SAMPLER_TRAIN
    if sampler not in WITH_EPOCHS:
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN: expected one of {', '.join(WITH_EPOCHS)} with SOLVER.EPOCHS "
            f"{solver.EPOCHS:g}, found {sampler!r}. Only the expected samplers define the length of an epoch."
        )


def _check_steps(epochs: float, steps: list) -> None:
    numbers = all(type(step) in (int, float) for step in steps)
    if not (numbers and all(a < b for a, b in pairwise([0, *steps, epochs]))):
        raise ConfigError(
            f"SOLVER.STEP_EPOCHS: expected increasing numbers between 0 and SOLVER.EPOCHS {epochs:g}, found {steps}"
        )
