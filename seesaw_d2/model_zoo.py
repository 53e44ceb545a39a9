"""The project's configs by name, like ``detectron2.model_zoo``."""

from typing import TYPE_CHECKING

from seesaw_d2.config.files import config_folder, config_names, find_config_file, get_config_file

if TYPE_CHECKING:  # finding a config does not need Detectron2
    from detectron2.config import CfgNode
    from omegaconf import DictConfig

__all__ = ["config_folder", "config_names", "find_config_file", "get_cfg", "get_config_file"]


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
