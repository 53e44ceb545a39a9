"""Define ``Job``, the checked settings of one training or evaluation."""

from dataclasses import dataclass

from detectron2.config import CfgNode

from seesaw_d2.train.preflight.schedule import Schedule
from seesaw_d2.utils.category_names import Categories


@dataclass(frozen=True)
class Job:
    """Settings of one training or evaluation, which ``Preflight`` has checked.

    All processes have the same settings. The settings are known before the program builds data loaders and a trainer.

    Attributes:
        cfg: frozen config. Its device, batch size, learning rate, number of iterations and steps are final. For a
            LazyConfig, a YAML config with the settings that both kinds of config have (``common_settings``).
        eval_only: whether the job is an evaluation.
        resume: whether to continue from the last checkpoint in OUTPUT_DIR.
        schedule: length and learning rate of the training. None for an evaluation and for a LazyConfig.
        categories: class names of the model, from DATASETS.TRAIN or, for an evaluation, DATASETS.TEST. None if unknown.
        notes: messages that the training logs at level INFO.
        warnings: messages that the training or evaluation logs at level WARNING.
    """

    cfg: CfgNode
    eval_only: bool
    resume: bool
    schedule: Schedule | None = None
    categories: Categories | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
