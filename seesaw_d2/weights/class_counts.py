"""Copy the class counts that Seesaw Loss has accumulated in a training from a checkpoint to a JSON file."""

import json
import os
import re
from typing import Any

from torch import Tensor

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.losses.recorded_counts import RecordedCounts
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.category_names import entry_of, kept_entry
from seesaw_d2.utils.messages import first_few, shown
from seesaw_d2.weights.checkpoint_io import read_checkpoint
from seesaw_d2.weights.tensor_checks import check_real

# Matches the names of the buffers that contain class counts, such as "roi_heads.box_predictor.cls_loss.class_counts".
_BUFFER = re.compile(r"(?:^|.*\.)class_counts")
# Captures the stage number in a buffer name of Cascade R-CNN, 1 in "roi_heads.box_predictor.1.cls_loss.class_counts".
# The names of Mask R-CNN have no number, because it has a single box predictor.
_STAGE = re.compile(r"(?:^|\.)box_predictor\.(\d+)\.")


def record_class_counts(checkpoint: str, path: str) -> RecordedCounts:
    """Write the class counts that Seesaw Loss has accumulated, from a checkpoint to a new JSON file.

    Another training can use the file as CLS_LOSS.SEESAW.CLASS_COUNTS (``read_recorded_counts`` reads it).

    Args:
        checkpoint: path of a checkpoint of a model trained with Seesaw Loss.
        path: path of the new JSON file.

    Returns:
        the content of the file: the class counts of each stage of the box predictor.

    Raises:
        WeightsError: the checkpoint is unreadable, has no class counts, lacks those of a stage, or has class counts
            that are all 0.
        ConfigError: ``path`` already exists.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path}: the output file already exists. Choose another name.")
    state = read_checkpoint(checkpoint)
    names = sorted((name for name in state["model"] if _BUFFER.fullmatch(name)), key=_stage)
    if of_boxes := [name for name in names if "box_predictor" in name]:  # ignore the pixel counts of a semantic head
        names = of_boxes
    if not names:
        raise WeightsError(
            f"{checkpoint}: the checkpoint has no class counts. Only models trained with Seesaw Loss have class counts."
        )
    if [_stage(name) for name in names] not in ([-1], list(range(len(names)))):
        raise WeightsError(
            f"{checkpoint}: expected a single tensor of class counts, or one tensor for each of the stages 0, 1, ... "
            f"of the box predictor, found {len(names)} tensors: {first_few(names)}"
        )
    counts = [_counts(name, state["model"][name], checkpoint) for name in names]
    if len(sizes := {len(values) for values in counts}) > 1:
        raise WeightsError(
            f"{checkpoint}: expected the same number of class counts in each stage, found {sorted(sizes)} class "
            f"counts in {first_few(names)}"
        )
    for name, values in zip(names, counts, strict=True):
        if not any(values):
            raise WeightsError(
                f"{checkpoint}: {name}: expected at least one class count > 0, found only zeros. The model was not "
                "trained."
            )
    content = {"class_counts": counts, "source": checkpoint, "iteration": state.get("iteration")} | kept_entry(state)
    write_text(path, json.dumps(content))
    return RecordedCounts(path, counts, "box_predictor" in names[0], entry_of(state, path))


def _counts(name: str, values: Any, path: str) -> list[int]:
    place = f"{path}: {name}"
    if not isinstance(values, Tensor) or values.dim() != 1:
        found = f"a tensor of shape {tuple(values.shape)}" if isinstance(values, Tensor) else shown(values)
        raise WeightsError(f"{place}: expected a tensor of class counts with one dimension, found {found}")
    check_real(name, values, path)
    for number in values.tolist():
        if not isinstance(number, int | float) or not 0 <= number < 2**63 or number % 1:
            raise WeightsError(f"{place}: expected integers in [0, 2^63) as class counts, found {number}")
    return [int(number) for number in values.tolist()]


def _stage(name: str) -> int:
    """Return the stage number in the name of a buffer, or -1 if the name has no stage number."""
    match = _STAGE.search(name)
    return int(match.group(1)) if match else -1
