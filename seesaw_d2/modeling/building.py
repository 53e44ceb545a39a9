"""Models built by this project's programs, and what is said where another program builds one."""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model as detectron2_build_model
from detectron2.utils import comm
from torch import nn

from seesaw_d2.config.loading import config_keys, default_config, leaf_keys, read_value
from seesaw_d2.errors import ConfigError

logger = logging.getLogger(__name__)

# Keys of this project, and nodes of them, that the model's own parts read.
_READ_BY_MODELS = (
    "MODEL.ROI_BOX_HEAD.",
    "MODEL.ROI_ITERATIVE_HEAD.",
    "MODEL.ROI_MASK_HEAD.",
    "MODEL.ROI_BOX_CASCADE_HEAD.",
    "MODEL.SMALL_RESNET.",
    "MODEL.CLASSIFIER.",
    "DATASETS.FREQUENCY_THRESHOLDS",
)
_START_EPOCH = "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_EPOCH"  # train_net.py makes START_ITER of it
_SAMPLER = "DATALOADER.SAMPLER_TRAIN"
_OWN_SAMPLERS = ("ClassAwareSampler", "SquareRootSampler", "ProgressivelyBalancedSampler")

_defaults = functools.cache(default_config)
_own_program = ContextVar("own_program", default=False)


@contextmanager
def own_program() -> Iterator[None]:
    """In the block, models are built by a program that reads all keys."""
    token = _own_program.set(True)
    try:
        yield
    finally:
        _own_program.reset(token)


def build_model(cfg: CfgNode) -> nn.Module:
    """Detectron2's ``build_model``, for programs that read all keys."""
    with own_program():
        return detectron2_build_model(cfg)


def check_program(cfg: CfgNode) -> None:
    """Called by heads as they are built: another program may not read all keys of this project.

    It logs one warning, once, with the keys that are set and that ``train_net.py`` reads, and the model does not.

    Raises:
        ConfigError: MODEL.DEVICE is "auto", which Detectron2 does not know.
    """
    if cfg.MODEL.DEVICE == "auto":
        raise ConfigError(
            "MODEL.DEVICE: expected cuda or cpu, found 'auto', which only the programs of seesaw_d2 replace; "
            "seesaw_d2.model_zoo.get_cfg replaces it too"
        )
    keys = () if _own_program.get() else tuple(trainer_keys(cfg))
    if keys and comm.is_main_process():
        _warn(keys)


@functools.cache
def _warn(keys: tuple[str, ...]) -> None:
    logger.warning(
        f"Config keys that the model does not read, nor Detectron2's DefaultTrainer: {', '.join(keys)}. train_net.py "
        "reads them; docs/library.md says what other trainers have to do"
    )


def trainer_keys(cfg: CfgNode) -> list[str]:
    """The keys that are not at their defaults and that ``train_net.py`` reads, and the model does not."""
    defaults = _defaults()
    keys = [key for key in own_keys() if not read_by_models(key) and read_value(cfg, key) != read_value(defaults, key)]
    return [*keys, *([_SAMPLER] if cfg.DATALOADER.SAMPLER_TRAIN in _OWN_SAMPLERS else [])]


def read_by_models(key: str) -> bool:
    """Whether a key of this project is read by heads, backbones or meta-architectures, whatever the trainer."""
    return key.startswith(_READ_BY_MODELS) and key != _START_EPOCH


@functools.cache
def own_keys() -> tuple[str, ...]:
    """Return the keys in full that this project adds to Detectron2's, without inner nodes."""
    return tuple(sorted(set(leaf_keys(_defaults())) - set(config_keys(get_cfg()))))
