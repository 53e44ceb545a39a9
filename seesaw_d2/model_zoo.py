"""Load configs and models of this project by name, like ``detectron2.model_zoo``."""

from typing import TYPE_CHECKING

from seesaw_d2.config_files import config_folder, config_names, find_config_file, get_config_file
from seesaw_d2.errors import ConfigError
from seesaw_d2.weights.published import FILES, SCHEME, published_url

if TYPE_CHECKING:  # not at run time, so that this module works without Detectron2
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
    """Load a config. Return an unfrozen CfgNode for a YAML file, or a LazyConfig for a ``.py`` file.

    In a CfgNode, ``MODEL.DEVICE: auto`` is replaced by cuda or cpu, because Detectron2's programs do not support auto.

    Args:
        name: a name in ``config_names()``.

    Raises:
        ConfigError: no config has this name, or the config requires a newer Detectron2 (``lazy/*vitdet*``).
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
    """Return the URL of the weights that MMDetection has published for a config.

    The file has MMDetection's format. ``get(name, trained=True)`` and ``get_config(name, trained=True)`` convert the
    file to this project's format. This project does not publish weights.

    Args:
        name: a name in ``config_names()``.

    Raises:
        ConfigError: no config has this name, or MMDetection has not published weights for the config.
    """
    return published_url(_published(name))


def get_config(name: str, trained: bool = False) -> "CfgNode | DictConfig":
    """Load a config and set MODEL.WEIGHTS, like ``detectron2.model_zoo.get_config``. A LazyConfig stays unchanged.

    Args:
        name: a name in ``config_names()``.
        trained: If True, use the published weights, converted to this project's format, and set the config keys for
            evaluation as in MMDetection. If False, use the ImageNet weights that the config names, if any.

    Raises:
        ConfigError: no config has this name, the config requires a newer Detectron2 or, with ``trained``, MMDetection
            has not published weights for the config.
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
        name: a name in ``config_names()``.
        trained: If True, use the weights that MMDetection has published. If False, use the ImageNet weights that the
            config names, if any.
        device: device of the model. Default: MODEL.DEVICE, or cpu if no GPU is available.

    Raises:
        ConfigError: no config has this name, the config is a LazyConfig or, with ``trained``, MMDetection has not
            published weights for the config.
    """
    if name.endswith(".py"):
        raise ConfigError(
            f"model_zoo.get: expected a YAML config, found {name!r}. For a LazyConfig, call get_cfg and instantiate "
            "cfg.model."
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
            f"model_zoo: expected one of {', '.join(FILES)}, found {name!r}. Other configs have no published weights."
        )
    return FILES[name]
