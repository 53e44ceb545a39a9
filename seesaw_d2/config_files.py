"""Find the config files of this project by name, in a checkout or in an installed wheel.

This module does not import PyTorch, so that programs report a wrong config file quickly.
"""

import difflib
import os
from pathlib import Path
from typing import NoReturn

from seesaw_d2.errors import ConfigError
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.regular_files import irregular

_PACKAGE = Path(__file__).resolve().parent


def config_folder() -> Path:
    """Return the folder of the configs, which is inside the package in a wheel and next to the package in a checkout.

    Raises:
        ConfigError: neither folder exists.
    """
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if (folder / "Base-LVIS-mask_rcnn.yaml").is_file():
            return folder
    raise ConfigError(
        f"configs/Base-LVIS-mask_rcnn.yaml: the file exists neither in {_PACKAGE} nor in {_PACKAGE.parent}. Install "
        "seesaw_d2 again"
    )


def config_names() -> list[str]:
    """Return the names of all configs, such as "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml"."""
    folder = config_folder()
    paths = [path for path in folder.rglob("*") if path.suffix in (".yaml", ".py")]
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def get_config_file(name: str) -> str:
    """Return the path of a config.

    Args:
        name: path of the config relative to ``configs/``, as in ``config_names()``.

    Raises:
        ConfigError: no config has this name. The message suggests the most similar name.
    """
    known = config_names()
    if name not in known:
        hint = did_you_mean(near_names(name, known, cutoff=0.3))
        raise ConfigError(f"model_zoo: expected the name of a config in {config_folder()}, found {name!r}{hint}")
    return str(config_folder() / name)


def find_config_file(path: str) -> str:
    """Return the path of the config that ``--config-file`` names.

    Args:
        path: path of a file, or a name in ``config_names()`` with or without a leading ``configs/``. If a file with
            this path exists, this file is used.

    Raises:
        ConfigError: neither a file nor a config with this name exists, or the path is a folder. The message lists both
            locations and similar names, or the configs in the folder.
    """
    if os.path.isdir(path):
        _refuse_folder(path, [each.name for each in Path(path).iterdir()])
    if os.path.lexists(path):
        return path
    beside = sorted(each.as_posix() for each in Path(path).parent.glob(f"*{Path(path).suffix or '.yaml'}"))
    if os.path.isabs(path):
        raise ConfigError(f"{path}: the config file does not exist{_near(path, beside)}")
    try:
        folder, known = config_folder(), config_names()
    except ConfigError:  # the package was installed without configs
        raise ConfigError(f"{path}: the config file does not exist in {os.getcwd()}{_near(path, beside)}") from None
    name = os.path.normpath(path).replace(os.sep, "/").removeprefix("configs/")
    if name in known:
        return str(folder / name)
    if (folder / name).is_dir():
        _refuse_folder(path, [each.name for each in (folder / name).iterdir()])
    places = f"as a path from {os.getcwd()} nor as a name below {folder}"
    paths = {os.path.abspath(each) for each in beside}
    names = [each for each in known if str(folder / each) not in paths]
    hint = (
        _near(name, [*beside, *names])
        or f". This folder contains {', '.join(sorted({each.split('/')[0] for each in known if '/' in each}))}."
    )
    raise ConfigError(f"{path}: the config file exists neither {places}{hint}")


def find_lazy_config(path: str) -> str:
    """Return the path of the LazyConfig that ``--config-file`` names.

    Args:
        path: path of a ``.py`` file, or a name in ``config_names()`` with or without a leading ``configs/``.

    Raises:
        ConfigError: the config does not exist, or is not a ``.py`` file.
    """
    found = find_config_file(path) if path and (path.endswith(".py") or not os.path.isfile(path)) else path
    if not os.path.isfile(found) or not found.endswith(".py"):
        kind = f"{irregular(found)}, {found}" if irregular(found) else found or "no value"
        raise ConfigError(f"--config-file: expected a .py file with a LazyConfig, found {kind}")
    return found


def _refuse_folder(path: str, names: list[str]) -> NoReturn:
    configs = sorted(name for name in names if name.endswith((".yaml", ".yml", ".py")))
    listed = f". It contains the configs {', '.join(configs)}." if configs else " without configs"
    raise ConfigError(f"{path}: expected a config file, found a folder{listed}")


def _near(path: str, known: list[str]) -> str:
    """Return the end of an error message that suggests up to three names similar to a misspelled path.

    The result is text such as ". Did you mean A or B?", or "" if no name is similar.

    Args:
        path: the misspelled path.
        known: all valid paths.
    """

    def likeness(other: str) -> float:
        """Return the similarity of ``other`` to ``path`` in [0, 1], by file name or by full path (the larger value)."""
        stems = [os.path.splitext(each)[0] for each in (path, other)]
        (folder, _), (other_folder, _) = pairs = [os.path.split(stem) for stem in stems]
        compared = [[name for _, name in pairs], *([] if folder == other_folder else [stems])]
        return max(difflib.SequenceMatcher(None, ours, theirs).ratio() for ours, theirs in compared)

    found = sorted((each for each in known if likeness(each) >= 0.8), key=likeness, reverse=True)
    return did_you_mean(found[:3])
