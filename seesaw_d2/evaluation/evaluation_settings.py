"""Record how the settings of an evaluation differ from the settings of the run in the same folder.

An evaluation may use other weights, another calibration or other image sizes than the run, and replace the results in
the run's folder. The record tells programs that compare runs that the new results do not belong to the run's
config.yaml.
"""

import contextlib
import logging
import os
from collections.abc import Collection, Iterator

from seesaw_d2.config.differences import ABSENT, describe, differences, flat_config, flat_config_file, within
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.results_files import write_json
from seesaw_d2.utils.json_reading import absolute_path, load_json_object
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)

# This file in a results folder lists the settings in which the evaluation differs from the training run. The file does
# not exist if the evaluation has the settings of the run's config.yaml.
SETTINGS_FILE = "evaluation_settings.json"
Differences = dict[str, tuple[str, str]]
_FINAL, _REGISTER = "model_final.pth", "DATASETS.REGISTER"
# Config keys that change the results of an evaluation. Only these keys are compared between the training run and the
# evaluation. "MODEL" means all keys that begin with "MODEL.". Keys in lower case belong to LazyConfigs.
_USED = (
    "MODEL",
    "INPUT",
    "TEST",
    "DATASETS.TRAIN",
    "DATASETS.FREQUENCY_THRESHOLDS",
    "model",
    "dataloader.test",
    "dataloader.evaluator",
)
# Exceptions from ``_USED``: these config keys do not change the results, and are not compared.
_UNUSED = (
    *("MODEL.WEIGHTS", "MODEL.WEIGHTS_EXCEPT", "MODEL.DEVICE", "MODEL.FREEZE", "MODEL.COMPILE", "MODEL.CHANNELS_LAST"),
    *("MODEL.DOWNLOAD_TIMEOUT", "MODEL.DOWNLOAD_TIME_LIMIT", "MODEL.ROI_ALIGN_GRADIENT", "MODEL.BACKBONE.FREEZE_AT"),
    *("INPUT.MIN_SIZE_TRAIN", "INPUT.MAX_SIZE_TRAIN", "INPUT.MIN_SIZE_TRAIN_SAMPLING", "INPUT.RANDOM_FLIP"),
    *(
        "INPUT.CROP",
        "INPUT.COPY_PASTE",
        "TEST.PRECISE_BN",
        "TEST.EVAL_PERIOD",
        "TEST.EXPECTED_RESULTS",
        "TEST.AUG.ENABLED",
    ),
    *("TEST.CLASSIFICATION_ACCURACY", "TEST.LVIS_ENGINE", "TEST.LVIS_METRICS", "dataloader.test.num_workers"),
)
# Config keys with these endings are not compared, because they change only the training loss.
_SCHEDULE = (".START_ITER", ".START_EPOCH")


def other_settings(folder: str, config: str, weights: str, *, augmented: bool = False) -> Differences:
    """Return the settings in which an evaluation differs from the training run in the same folder.

    Args:
        folder: OUTPUT_DIR of the evaluation, which is also the folder of the run.
        config: config of the evaluation as YAML.
        weights: path of the evaluated weights.
        augmented: True if the evaluation uses test-time augmentation. Only then are the keys of TEST.AUG compared.

    Returns:
        a dict from each differing config key to (value in the run, value in the evaluation). MODEL.WEIGHTS differs if
        ``weights`` is not the run's model_final.pth. For a test set that both configs register with different values,
        the key is, for example, "DATASETS.REGISTER.my_val.JSON". If the folder has no config.yaml, the dict is empty.
        If config.yaml cannot be read, the dict is empty, and a warning says that the settings are not compared.
    """
    path = os.path.join(folder, "config.yaml")
    if not os.path.isfile(path):
        return {}
    try:
        before = flat_config_file(path)
    except ConfigError as error:
        logger.warning(f"{error}. The settings of this evaluation are not compared with this file")
        return {}
    unused = _UNUSED if augmented else (*_UNUSED, "TEST.AUG")
    now = flat_config(config, "the config")
    found = differences(before, now, left_out=unused)
    found = {key: pair for key, pair in found.items() if within(key, _USED) and not key.endswith(_SCHEDULE)}
    found |= _other_data(before, now)
    final = os.path.join(folder, _FINAL)
    if os.path.realpath(weights) != os.path.realpath(final):
        found["MODEL.WEIGHTS"] = (final, weights)
    return found


def _other_data(before: dict[str, str], now: dict[str, str]) -> Differences:
    """Return the differences in DATASETS.REGISTER for the test sets of ``now`` that both configs register.

    Args:
        before, now: configs of the run and of the evaluation, as dicts from full key to value as text.
    """
    first, second, found = _registered(before), _registered(now), {}
    tested = now.get("DATASETS.TEST", "").strip("[]").split(", ")
    for name in (name for name in tested if name in first and name in second):
        pairs = {field: (first[name].get(field, ABSENT), second[name].get(field, ABSENT)) for field in first[name]}
        pairs |= {field: (ABSENT, value) for field, value in second[name].items() if field not in first[name]}
        # Most values are paths. A relative and an absolute path can name the same file.
        differing = {field: pair for field, pair in pairs.items() if absolute_path(pair[0]) != absolute_path(pair[1])}
        found |= {f"{_REGISTER}.{name}.{field}": pair for field, pair in differing.items()}
    return found


def _registered(config: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return a dict from the name of a dataset in DATASETS.REGISTER to its values, such as those of JSON and IMAGES.

    ``config`` is a dict from full key, such as "DATASETS.REGISTER.0.NAME", to value as text.
    """
    entries: dict[str, dict[str, str]] = {}
    for key, value in config.items():
        if within(key, (_REGISTER,)) and key != _REGISTER:
            index, _, field = key.removeprefix(f"{_REGISTER}.").partition(".")
            entries.setdefault(index, {})[field] = value
    return {entry["NAME"]: entry for entry in entries.values() if "NAME" in entry}


@contextlib.contextmanager
def recorded_settings(folders: Collection[str], found: Differences | None) -> Iterator[None]:
    """Record in the results folders that an evaluation has other settings than the training run.

    Run the evaluation in the ``with`` block of this context manager. If settings differ, each folder gets the file
    ``SETTINGS_FILE`` before the block. If no settings differ, this file of an earlier evaluation is removed after the
    block, because the block has replaced the results of the earlier evaluation.

    Args:
        folders: results folders of the evaluation.
        found: dict from each differing config key to (value in the run, value in the evaluation), as returned by
            ``other_settings``. None if no settings differ.
    """
    for folder in folders if found else ():
        write_json(os.path.join(folder, SETTINGS_FILE), found)
    yield
    for folder in folders if not found else ():
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, SETTINGS_FILE))


def read_settings(folder: str) -> Differences:
    """Read from a results folder in which settings the evaluation differs from the training run.

    Returns:
        a dict from each differing config key to (value in the run, value in the evaluation). The dict is empty if the
        folder has no file ``SETTINGS_FILE``.

    Raises:
        DataError: the file is damaged.
    """
    path = os.path.join(folder, SETTINGS_FILE)
    if not os.path.isfile(path):
        return {}
    found = load_json_object(path, "expected the settings of an evaluation")
    for key, pair in found.items():
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(value, str) for value in pair):
            raise DataError(
                f"{path}: {key!r}: expected a list of two strings, the values of this key in the run and in the "
                "evaluation. Evaluate the run again"
            )
    return {key: tuple(pair) for key, pair in found.items()}


def describe_settings(found: Differences) -> str:
    """Format settings as one line, such as "TEST.DETECTIONS_PER_IMAGE 300 in the run, 100 in the evaluation".

    ``found`` maps each differing config key to (value in the run, value in the evaluation).
    """
    return describe(found, "in the run", "in the evaluation")


def tell_replaced_results(folder: str) -> Differences:
    """Log a warning if the results in a folder come from an evaluation with other settings than the run's config.yaml.

    Returns:
        a dict from each differing config key to (value in the run, value in the evaluation).
    """
    found = read_settings(folder)
    if found:
        warn_once(
            logger,
            f"{os.path.join(folder, SETTINGS_FILE)}: the results come from an evaluation with other settings than the "
            f"run's config.yaml: {describe_settings(found)}",
        )
    return found
