"""The project's configs by name, like ``detectron2.model_zoo``."""

from typing import TYPE_CHECKING

from seesaw_d2.config_files import config_folder, config_names, find_config_file, get_config_file
from seesaw_d2.errors import ConfigError
from seesaw_d2.weights.published import FILES, SCHEME, published_url

if TYPE_CHECKING:  # finding a config does not need Detectron2
    from detectron2.config import CfgNode
    from omegaconf import DictConfig
    from torch import nn

__all__ = [
    "config_folder",
    "config_names",
    "find_config_file",
    "get",
    "get_cfg",
    "get_checkpoint_url",
    "get_config",
    "get_config_file",
]


def get_cfg(name: str) -> "CfgNode | DictConfig":
    """Load a config: an unfrozen CfgNode for a YAML file, a LazyConfig for a ``.py`` file.

    ``MODEL.DEVICE: auto`` is replaced by cuda or cpu, because Detectron2's own programs do not know it.

    Args:
        name: one of ``config_names()``.

    Raises:
        ConfigError: no config has this name, or this Detectron2 lacks a part of it (``lazy/*vitdet*``).
    """
    path = get_config_file(name)
    if path.endswith(".py"):
        from seesaw_d2.compat import load_lazy

        return load_lazy(path)
    from seesaw_d2.config.device import replace_auto_device
    from seesaw_d2.config.loading import load_config

    cfg = load_config(path)
    replace_auto_device(cfg)
    return cfg


def get_checkpoint_url(name: str) -> str:
    """Return the address of the published weights of a config: a file of MMDetection, in MMDetection's format.

    ``get`` and ``get_config`` with ``trained=True`` convert it.

    Args:
        name: one of ``config_names()``.

    Raises:
        ConfigError: no config has this name, or no weights of it have been published. This project publishes none.
    """
    return published_url(_published(name))


def get_config(name: str, trained: bool = False) -> "CfgNode | DictConfig":
    """Load a config as ``get_cfg`` does, with the weights to start from, like ``detectron2.model_zoo.get_config``.

    Args:
        name: one of ``config_names()``.
        trained: True: the published weights, converted, and the keys that evaluate them as MMDetection does. False:
            the ImageNet weights that the config names, or none.

    Raises:
        ConfigError: as ``get_cfg``, or with ``trained`` as ``get_checkpoint_url``.
    """
    file = _published(name) if trained else ""
    cfg = get_cfg(name)
    if name.endswith(".py"):
        return cfg
    if not trained:
        cfg.MODEL.WEIGHTS = cfg.MODEL.WEIGHTS if cfg.MODEL.WEIGHTS.startswith("torchvision://") else ""
        return cfg
    from seesaw_d2.weights.converters.mmdet import evaluation_keys

    cfg.merge_from_list(["MODEL.WEIGHTS", SCHEME + file, *evaluation_keys("cascade" in file)])
    return cfg


def get(name: str, trained: bool = False, device: str | None = None) -> "nn.Module":
    """Build the model of a YAML config and load its weights, like ``detectron2.model_zoo.get``.

    Args:
        name, trained: as in ``get_config``.
        device: replaces MODEL.DEVICE. None: the config's, or cpu without a GPU.

    Raises:
        ConfigError: as ``get_config``, or the config is a LazyConfig.
    """
    if name.endswith(".py"):
        raise ConfigError(
            f"model_zoo.get: expected a YAML config, found {name!r}; use get_cfg and instantiate its model"
        )
    cfg = get_config(name, trained)
    import torch
    from detectron2.checkpoint import DetectionCheckpointer

    from seesaw_d2.modeling.building import build_model

    cfg.MODEL.DEVICE = device or (cfg.MODEL.DEVICE if torch.cuda.is_available() else "cpu")
    model = build_model(cfg)
    DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    return model


def _published(name: str) -> str:
    get_config_file(name)
    if name not in FILES:
        raise ConfigError(
            f"model_zoo: expected a config with published weights ({', '.join(FILES)}), found {name!r}, which has none"
        )
    return FILES[name]
