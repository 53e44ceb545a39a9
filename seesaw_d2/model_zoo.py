"""The project's configs by name, from a checkout and from an installed wheel alike, as ``detectron2.model_zoo``."""

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from seesaw_d2.errors import ConfigError

if TYPE_CHECKING:  # to find a config Detectron2 is not needed
    from detectron2.config import CfgNode
    from omegaconf import DictConfig

_PACKAGE = Path(__file__).resolve().parent


def config_folder() -> Path:
    """Where the configs are: inside the package of a wheel, beside the package in a checkout.

    Raises:
        ConfigError: neither is there.
    """
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if (folder / "Base-LVIS-mask_rcnn.yaml").is_file():
            return folder
    raise ConfigError(f"{_PACKAGE}: expected the folder configs in it or beside it, found neither")


def config_names() -> list[str]:
    """Every config that ``get_config_file`` takes, such as "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml"."""
    folder = config_folder()
    paths = [path for path in folder.rglob("*") if path.suffix in (".yaml", ".py")]
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def get_config_file(name: str) -> str:
    """The path of a config.

    Args:
        name: relative to ``configs/``, as in ``config_names()``.

    Raises:
        ConfigError: there is none of this name; the message has the nearest one.
    """
    known = config_names()
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ConfigError(f"model_zoo: expected a config below {config_folder()}, found {name!r}{hint}")
    return str(config_folder() / name)


def find_config_file(path: str) -> str:
    """The file that ``--config-file`` means: the one of this path; where there is none, the config of this name.

    Args:
        path: of a file, or a name as of ``get_config_file``, with or without ``configs/`` before it.

    Raises:
        ConfigError: it is neither; the message has both places, and near names.
    """
    if os.path.lexists(path):
        return path
    beside = sorted(each.as_posix() for each in Path(path).parent.glob(f"*{Path(path).suffix or '.yaml'}"))
    if os.path.isabs(path):
        raise ConfigError(f"{path}: no such config file{_near(path, beside)}")
    try:
        folder, known = config_folder(), config_names()
    except ConfigError:  # a package without configs
        raise ConfigError(f"{path}: no such config file in {os.getcwd()}{_near(path, beside)}") from None
    name = os.path.normpath(path).replace(os.sep, "/").removeprefix("configs/")
    if name in known:
        return str(folder / name)
    places = f"as a path from {os.getcwd()}, nor as a name below {folder}"
    paths = {os.path.abspath(each) for each in beside}
    names = [each for each in known if str(folder / each) not in paths]
    raise ConfigError(f"{path}: no such config file, neither {places}{_near(name, [*beside, *names])}")


def _near(path: str, known: list[str]) -> str:
    """Those of ``known`` that somebody may have meant, for a message."""

    def likeness(other: str) -> float:
        """Of the names without what they have in common anyway, suffix and folder; with folders that differ too."""
        stems = [os.path.splitext(each)[0] for each in (path, other)]
        (folder, _), (other_folder, _) = pairs = [os.path.split(stem) for stem in stems]
        compared = [[name for _, name in pairs], *([] if folder == other_folder else [stems])]
        return max(difflib.SequenceMatcher(None, ours, theirs).ratio() for ours, theirs in compared)

    found = sorted((each for each in known if likeness(each) >= 0.8), key=likeness, reverse=True)
    return f"; did you mean {' or '.join(found[:3])}?" if found else ""


def get_cfg(name: str) -> "CfgNode | DictConfig":
    """The config, loaded: Detectron2's CfgNode of a YAML, not frozen; a LazyConfig of a ``.py``.

    ``MODEL.DEVICE: auto`` of the small data sets' configs, which Detectron2's own programs do not know, is replaced by
    cuda or cpu, whichever this machine has.

    Args:
        name: as of ``get_config_file``.

    Raises:
        ConfigError: there is none of this name, or (``lazy/*vitdet*``) this Detectron2 lacks what it is made of.
    """
    path = get_config_file(name)
    if path.endswith(".py"):
        from seesaw_d2.compat import load_lazy

        return load_lazy(path)
    from seesaw_d2.config.loading import load_config
    from seesaw_d2.train.preflight.job_checks import replace_auto_device

    cfg = load_config(path)
    replace_auto_device(cfg)
    return cfg
