"""Build models, and warn about config keys that the running program does not read."""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, ROI_HEADS_REGISTRY
from detectron2.modeling import build_model as detectron2_build_model
from detectron2.modeling.roi_heads import ROI_MASK_HEAD_REGISTRY
from detectron2.utils import comm
from torch import nn

from seesaw_d2.config.loading import config_keys, default_config, leaf_keys, read_value
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.modeling.statistics_provider import provide_names
from seesaw_d2.utils.declared_keys import added_value, covered, declared

logger = logging.getLogger(__name__)

_SAMPLER = "DATALOADER.SAMPLER_TRAIN"
_OWN_SAMPLERS = ("ClassAwareSampler", "SquareRootSampler", "ProgressivelyBalancedSampler")

_defaults = functools.cache(default_config)
_own_program = ContextVar("own_program", default=False)


@contextmanager
def own_program() -> Iterator[None]:
    """Return a context in which models are built without warnings about ignored config keys.

    Programs that read all config keys, such as train_net.py, build models in this context. Outside of the context,
    ``check_program`` warns about keys that only train_net.py reads.
    """
    token = _own_program.set(True)
    try:
        yield
    finally:
        _own_program.reset(token)


def build_model(cfg: CfgNode) -> nn.Module:
    """Build a model with Detectron2's ``build_model``, without warnings about config keys that the program ignores."""
    with own_program():
        return detectron2_build_model(cfg)


def check_program(cfg: CfgNode) -> None:
    """Warn about config keys that only ``train_net.py`` reads, if a different program is running.

    Model components call this function in ``from_config``. In the context ``own_program``, which programs of this
    project use, the function only checks the config. Otherwise, the function logs these keys once, and sets the
    class names of DATASETS.REGISTER in the metadata, because Detectron2's DefaultPredictor and Visualizer need them.

    Raises:
        ConfigError: the config does not have the keys of ``add_seesaw_config``, or MODEL.DEVICE is "auto", which
            Detectron2 does not support.
    """
    added_value(cfg, "MODEL.ROI_BOX_HEAD.CLS_LOSS")
    if cfg.MODEL.DEVICE == "auto":
        raise ConfigError(
            "MODEL.DEVICE: expected cuda or cpu, found 'auto'. Only the programs of seesaw_d2 and "
            "seesaw_d2.model_zoo.get_cfg replace auto by a device."
        )
    if not _own_program.get():
        provide_names(cfg)
    keys = () if _own_program.get() else tuple(trainer_keys(cfg))
    if keys and comm.is_main_process():
        _warn(keys)


@functools.cache
def _warn(keys: tuple[str, ...]) -> None:
    logger.warning(
        f"Only train_net.py reads these config keys: {', '.join(keys)}. In other programs, they have no effect, unless "
        "the program calls the functions of seesaw_d2 that read them (docs/library.md, section Other trainers)."
    )


def trainer_keys(cfg: CfgNode) -> list[str]:
    """Return the config keys that only ``train_net.py`` reads and whose values differ from the defaults."""
    defaults = _defaults()
    keys = [key for key in own_keys() if not read_by_models(key) and read_value(cfg, key) != read_value(defaults, key)]
    return [*keys, *([_SAMPLER] if cfg.DATALOADER.SAMPLER_TRAIN in _OWN_SAMPLERS else [])]


def read_by_models(key: str) -> bool:
    """Return whether a head, backbone or meta-architecture of this project declares that it reads a config key.

    For numbers of epochs of a loss, such as PCB.START_EPOCH, return False, because only the training schedule reads
    them.
    """
    return covered(_declared_keys(), key) and not key.endswith(_schedule_keys())


@functools.cache
def _declared_keys() -> tuple[str, ...]:
    registries = (META_ARCH_REGISTRY, ROI_HEADS_REGISTRY, ROI_MASK_HEAD_REGISTRY, BACKBONE_REGISTRY)
    components = [component for registry in registries for _, component in registry]
    return tuple(key for each in components if each.__module__.startswith("seesaw_d2.") for key in declared(each))


@functools.cache
def _schedule_keys() -> tuple[str, ...]:
    return tuple(f".{key}" for _, loss in LOSS_REGISTRY for key in loss.schedule_keys)


@functools.cache
def own_keys() -> tuple[str, ...]:
    """Return the full names of all config values that this project adds to Detectron2's config, sorted."""
    return tuple(sorted(set(leaf_keys(_defaults())) - set(config_keys(get_cfg()))))
