"""Copy the class counts of Seesaw Loss from a checkpoint to a JSON file."""

import json
import math
import os
import re
from typing import Any

from torch import Tensor

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.losses.recorded_counts import RecordedCounts
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.category_names import entry_of, kept_entry
from seesaw_d2.weights.checkpoint_io import read_checkpoint

_BUFFER = re.compile(r"(?:^|.*\.)class_counts")
# Parameters of Cascade R-CNN name the stage of a box predictor. Mask R-CNN has one box predictor without a number.
_STAGE = re.compile(r"(?:^|\.)box_predictor\.(\d+)\.")


def record_class_counts(checkpoint: str, path: str) -> RecordedCounts:
    """Write the class counts in a checkpoint of this project to a new JSON file for ``read_recorded_counts``.

    Args:
        checkpoint: path of a checkpoint of a model trained with Seesaw Loss.
        path: path of the JSON file.

    Returns:
        the class counts of each stage.

    Raises:
        WeightsError: the checkpoint is unreadable, has no class counts, or has class counts that are all 0.
        ConfigError: ``path`` already exists.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path}: the output file already exists. Choose another name")
    state = read_checkpoint(checkpoint)
    names = sorted((name for name in state["model"] if _BUFFER.fullmatch(name)), key=_stage)
    if of_boxes := [name for name in names if "box_predictor" in name]:  # ignore the pixel counts of Panoptic FPN
        names = of_boxes
    if not names:
        raise WeightsError(f"{checkpoint}: no class counts. Only models trained with Seesaw Loss contain class counts")
    if len({_stage(name) for name in names}) < len(names):
        raise WeightsError(
            f"{checkpoint}: expected class counts once per stage of the box predictor, found {', '.join(names[:5])}"
        )
    stages = [_counts(state["model"][name], f"{checkpoint}: {name}") for name in names]
    if not all(map(any, stages)):
        raise WeightsError(f"{checkpoint}: all class counts are 0, so the model was not trained")
    content = {"class_counts": stages, "source": checkpoint, "iteration": state.get("iteration")} | kept_entry(state)
    write_text(path, json.dumps(content))
    return RecordedCounts(path, stages, "box_predictor" in names[0], entry_of(state, path))


def _counts(values: Any, place: str) -> list[int]:
    numbers = values.tolist() if isinstance(values, Tensor) and values.dim() == 1 else [-1]
    if not all(isinstance(number, int | float) and 0 <= number < math.inf for number in numbers):
        raise WeightsError(f"{place}: expected finite class counts >= 0, found other values")
    return [int(number) for number in numbers]


def _stage(name: str) -> int:
    match = _STAGE.search(name)
    return int(match.group(1)) if match else 0
