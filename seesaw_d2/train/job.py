"""Description of a job: one training or evaluation, checked and resolved by its preflight."""

from dataclasses import dataclass

from detectron2.config import CfgNode

from seesaw_d2.train.preflight.schedule import Schedule
from seesaw_d2.utils.category_names import Categories


@dataclass(frozen=True)
class Job:
    """Settings of a job, which are equal in all processes and known before anything is built.

    Attributes:
        cfg: frozen config with resolved device, batch, learning rate, iterations and steps. For a LazyConfig: its
            values that YAML configs have too, under the YAML keys.
        eval_only: whether the job is an evaluation.
        resume: whether to continue from the last checkpoint in OUTPUT_DIR.
        schedule: length and learning rate of the training. None for an evaluation and for a LazyConfig.
        categories: class names of the model's data sets. None: unknown.
        notes: lines for the log of the training.
        warnings: lines for the log of the training, at warning level.
    """

    cfg: CfgNode
    eval_only: bool
    resume: bool
    schedule: Schedule | None = None
    categories: Categories | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
