"""A job: one training or evaluation, as its preflight has checked and resolved it."""

from dataclasses import dataclass

from detectron2.config import CfgNode

from seesaw_d2.train.preflight.schedule import Schedule
from seesaw_d2.utils.category_names import Categories


@dataclass(frozen=True)
class Job:
    """What the processes of a job agree on before they build anything.

    Attributes:
        cfg: frozen. Device, batch, learning rate, iterations and steps are resolved. For a LazyConfig: the values that
            YAML configs have too, under their keys.
        eval_only: whether the job is an evaluation.
        resume: whether it continues from the last checkpoint in OUTPUT_DIR.
        schedule: length and learning rate of the training; None for an evaluation and for a LazyConfig.
        categories: class names of the data that the model is used with; None if unknown.
        notes: lines for the log of the training.
        warnings: the same, as warnings.
    """

    cfg: CfgNode
    eval_only: bool
    resume: bool
    schedule: Schedule | None = None
    categories: Categories | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
