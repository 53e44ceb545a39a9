"""Define ``Job``: one training or evaluation whose config the preflight has checked and resolved."""

from dataclasses import dataclass

from detectron2.config import CfgNode

from seesaw_d2.train.preflight.schedule import Schedule
from seesaw_d2.utils.category_names import Categories


@dataclass(frozen=True)
class Job:
    """Settings of a job. They are equal in all processes, and known before the data loaders and the trainer are built.

    Attributes:
        cfg: frozen config with resolved device, batch size, learning rate, iterations and steps. For a LazyConfig, the
            result of ``common_settings``.
        eval_only: whether the job is an evaluation.
        resume: whether to continue from the last checkpoint in OUTPUT_DIR.
        schedule: length and learning rate of the training. None for an evaluation and for a LazyConfig.
        categories: class names of the model's data sets, or None if unknown.
        notes: messages that the training logs at level INFO.
        warnings: messages that the training logs at level WARNING.
    """

    cfg: CfgNode
    eval_only: bool
    resume: bool
    schedule: Schedule | None = None
    categories: Categories | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
