"""What the engine must know of a task, and nothing else in it does."""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn


@dataclass(frozen=True)
class Task:
    """The parts of a job that detection and image classification do not have in common.

    The command line, checks, trainer, launcher and checkpoints are written once and ask for these. Which evaluator a
    data set needs is told by its metadata, as in Detectron2.
    """

    num_classes_key: str
    # Config keys that name a registered class, beside MODEL.META_ARCHITECTURE.
    registries: Mapping[str, Registry]
    # (cfg, training=bool): checks the data sets; raises ConfigError, DataError.
    validate_datasets: Callable[..., None]
    # (cfg, model): the config's model was built, and fits what else the config says; raises ConfigError.
    check_model: Callable[[CfgNode, nn.Module], None]
    # The dataset dicts that are trained on: how many there are is how long an epoch is.
    load_training_records: Callable[[CfgNode], list[dict[str, Any]]]
    build_train_loader: Callable[[CfgNode], Iterable]
    build_test_loader: Callable[[CfgNode, str], Iterable]

    def num_classes(self, cfg: CfgNode) -> int:
        """C, what the config's key for it says."""
        return functools.reduce(getattr, self.num_classes_key.split("."), cfg)
