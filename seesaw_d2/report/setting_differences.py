"""List the settings of data, schedule and evaluation in which the compared training runs differ."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from seesaw_d2.config.differences import flat_values, within
from seesaw_d2.report.run_folders import Run

# Config keys of the model's architecture. The report lists their differences in a separate table (architectures.py).
ARCHITECTURE = (
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND",
    "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME",
    "MODEL.META_ARCHITECTURE",
    "MODEL.BACKBONE.NAME",
    "MODEL.RESNETS.DEPTH",
    "MODEL.CLASSIFIER.BACKBONE",
    "MODEL.ROI_HEADS.NAME",
    "MODEL.ROI_BOX_HEAD.NAME",
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG",
    "MODEL.MASK_ON",
    "MODEL.ROI_MASK_HEAD.NAME",
    "MODEL.ROI_MASK_HEAD.PER_STAGE",
)
# Config keys and nodes of the loss and the classifier. The report does not list differences in these keys, because they
# are intended: they define the compared methods.
_METHOD = (
    *("MODEL.ROI_BOX_HEAD.CLS_LOSS", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR", "MODEL.ROI_MASK_HEAD.TEMPERATURE"),
    *("MODEL.RETINANET.FOCAL_LOSS_ALPHA", "MODEL.RETINANET.FOCAL_LOSS_GAMMA"),
)
# The pattern matches the keys of LazyConfigs that define the compared methods: the ROI heads and the box predictor. It
# does not match keys that start with test_, such as test_score_thresh, which are settings of the evaluation.
_LAZY_METHOD = re.compile(r"model\.roi_heads\.(_target_$|box_predictors?\.(?!(\d+\.)?test_))")
# Config keys and nodes of paths, logs, checkpoints, speed and random seeds. The report does not list differences in
# these keys, because they give no run an advantage.
_WITHOUT_EFFECT = (
    *("VERSION", "OUTPUT_DIR", "SEED", "VIS_PERIOD", "CUDNN_BENCHMARK", "GLOBAL", "LOGGING"),
    *("DATALOADER.NUM_WORKERS", "DATALOADER.PIN_MEMORY", "MODEL.DEVICE", "MODEL.CHANNELS_LAST", "MODEL.COMPILE"),
    *("MODEL.DOWNLOAD_TIMEOUT", "MODEL.DOWNLOAD_TIME_LIMIT", "SOLVER.CHECKPOINT_BEST", "SOLVER.CHECKPOINT_KEEP"),
    *("SOLVER.CHECKPOINT_PERIOD", "SOLVER.COLLECTIVE_TIMEOUT", "SOLVER.MAX_SKIPPED_STEPS", "SOLVER.METRICS_PERIOD"),
    *("SOLVER.OPTIMIZER_IMPLEMENTATION", "TEST.CLASSIFICATION_ACCURACY", "TEST.EVAL_PERIOD", "TEST.EXPECTED_RESULTS"),
    *("TEST.LVIS_ENGINE", "TEST.LVIS_METRICS"),
    *("train.output_dir", "train.seed", "train.device", "train.cudnn_benchmark", "train.checkpointer"),
    *("train.log_period", "train.eval_period", "train.download_timeout", "train.download_time_limit"),
    *("dataloader.train.num_workers", "dataloader.test.num_workers", "dataloader.evaluator"),
)
_ORDER = ("DATASETS", "SOLVER", "DATALOADER", "INPUT", "TEST", "MODEL")


def setting_differences(runs: Sequence[Run], evaluated: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the settings in which the runs differ: config keys, and whether boxes or masks were evaluated.

    Args:
        runs: the compared runs.
        evaluated: for each run, a dict whose "description" contains "IoU types", such as "bbox and segm".

    Returns:
        a list of tuples (config key or "evaluated IoU types", list of its values as text, in the order of ``runs``).
    """
    found = config_differences([run.config for run in runs])
    tasks = [str(entry["description"].get("IoU types", "unknown")) for entry in evaluated]
    return found + [("evaluated IoU types", tasks)] * (len(set(tasks)) > 1)


def config_differences(configs: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the config keys of data, schedule and evaluation whose values differ between configs.

    Keys of the loss, the classifier and the architecture are omitted, and keys that do not change the results, such as
    OUTPUT_DIR. Keys of data and schedule come first.

    Returns:
        a list of tuples (config key, list of its values as text, in the order of ``configs``).
    """
    flat = [flat_values(config, "config.yaml") for config in configs]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if _is_setting(key)]
    keys.sort(key=lambda key: next((rank for rank, part in enumerate(_ORDER) if key.startswith(part)), len(_ORDER)))
    register = [("DATASETS.REGISTER", [_used_entries(config) for config in configs])]
    return differing([*register, *((key, [one.get(key) for one in flat]) for key in keys)])


def _is_setting(key: str) -> bool:
    return not within(key, ("DATASETS.REGISTER", *_WITHOUT_EFFECT, *_METHOD, *ARCHITECTURE)) and not _LAZY_METHOD.match(
        key
    )


def differing(found: Iterable[tuple[str, list[Any]]]) -> list[tuple[str, list[str]]]:
    """Return the pairs (key, values) of ``found`` whose values differ, with the values as text.

    None stands for an unknown value. It does not count as a difference, and becomes the text "unknown".
    """
    differences = []
    for key, values in found:
        known = [value for value in values if value is not None]
        if any(value != known[0] for value in known):
            differences.append((key, ["unknown" if value is None else str(value) for value in values]))
    return differences


def config_value(config: dict[str, Any], key: str) -> Any:
    """Return the value of a config key, such as "MODEL.MASK_ON", or None if the config does not have the key."""
    value: Any = config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return list(value) if isinstance(value, (list, tuple)) else value


def _used_entries(config: dict[str, Any]) -> list[Any] | None:
    """Return the dicts in DATASETS.REGISTER whose datasets are in DATASETS.TRAIN or DATASETS.TEST, sorted by name.

    Return None if there are none.
    """
    train, test, entries = (config_value(config, f"DATASETS.{key}") for key in ("TRAIN", "TEST", "REGISTER"))
    if not isinstance(entries, list):
        return None
    names = [name for each in (train, test) if isinstance(each, list) for name in each]
    used = [each for each in entries if isinstance(each, dict) and each.get("NAME") in names]
    return sorted(used, key=lambda each: str(each["NAME"])) or None
