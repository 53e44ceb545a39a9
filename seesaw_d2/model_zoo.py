"""The project's configs by name, as ``detectron2.model_zoo`` has Detectron2's."""

from typing import TYPE_CHECKING

from seesaw_d2.config.files import config_folder, config_names, find_config_file, get_config_file

if TYPE_CHECKING:  # Detectron2 is not needed to find a config
    from detectron2.config import CfgNode
    from omegaconf import DictConfig

__all__ = ["config_folder", "config_names", "find_config_file", "get_cfg", "get_config_file"]


def get_cfg(name: str) -> "CfgNode | DictConfig":
    """Load a config: an unfrozen CfgNode for a YAML file, a LazyConfig for a ``.py`` file.

    ``MODEL.DEVICE: auto``, which Detectron2's own programs do not know, is replaced by cuda or cpu.

    Args:
        name: as in ``config_names()``.

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
