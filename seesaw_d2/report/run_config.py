"""Read config.yaml in a run folder (OUTPUT_DIR of a training run) of this project or of plain Detectron2."""

import os
import reprlib
from typing import Any

import yaml

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import shown
from seesaw_d2.utils.yaml_reading import read_yaml_file


class _NamesAsText(yaml.SafeLoader):
    """YAML loader that reads configs of Detectron2 without constructing Python objects.

    Detectron2 writes YAML tags of Python for tuples and, in LazyConfigs, for classes, functions and objects. This
    loader reads a tuple as a list, and a class, function or object as its name.
    """


_PYTHON = "tag:yaml.org,2002:python/"
_NamesAsText.add_constructor(f"{_PYTHON}tuple", lambda loader, node: loader.construct_sequence(node, deep=True))
# Keep a config value such as 2024-01-01 as text. PyYAML would convert it to a date.
_NamesAsText.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
for _tag in ("name:", "object:", "object/new:"):
    _NamesAsText.add_multi_constructor(_PYTHON + _tag, lambda loader, name, node: name)


def read_config(folder: str) -> tuple[str, dict[str, Any]]:
    """Return the text and the parsed content of config.yaml in a run folder. Both are empty if the file does not exist.

    Raise DataError if the folder does not exist or the file is not valid YAML.
    """
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: the folder does not exist. Choose the OUTPUT_DIR of a training")
    path = os.path.join(folder, "config.yaml")
    if not os.path.exists(path):
        return "", {}
    text, config = read_yaml_file(path, _NamesAsText, DataError)
    config = {} if config is None else config
    if not isinstance(config, dict):
        raise DataError(f"{path}: expected a mapping of config keys, found {shown(config)}")
    return text, config


def run_datasets(folder: str) -> dict[str, Any]:
    """Return REGISTER, TRAIN, TEST and FREQUENCY_THRESHOLDS below DATASETS in a run's config.yaml, as a dict.

    Keys that the file lacks are omitted. Raise DataError if a value has the wrong type.
    """
    path = os.path.join(folder, "config.yaml")
    names = {"REGISTER": (dict, "mappings"), "TRAIN": (str, "names"), "TEST": (str, "names")}
    kinds = {**names, "FREQUENCY_THRESHOLDS": ((int, float), "numbers")}
    found = read_config(folder)[1].get("DATASETS") or {}
    for key, (kind, plural) in kinds.items():
        values = found.get(key, []) if isinstance(found, dict) else found
        if not isinstance(values, list) or not all(isinstance(each, kind) for each in values):
            raise DataError(f"{path}: DATASETS.{key}: expected a list of {plural}, found {reprlib.repr(values)}")
    return {key: found[key] for key in kinds if key in found}
