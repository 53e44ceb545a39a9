"""Precomputed proposals (MODEL.LOAD_PROPOSALS): read a pickle without running code, and rewrite it for Detectron2."""

import pickle
import tempfile
from typing import Any

from detectron2.data.build import load_proposals_into_dataset
from detectron2.utils.file_io import PathManager

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import reason
from seesaw_d2.utils.plain_pickles import load_plain_pickle

# The only class in such files is an enumeration of box formats.
_NUMBERS = {"detectron2.structures.boxes.BoxMode": int}


def load_proposals(records: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Add proposals to the records, like Detectron2's ``load_proposals_into_dataset``.

    Raises:
        DataError: the file cannot be read, contains objects other than arrays and plain values, or has no proposals.
    """
    if "://" not in path and not PathManager.isfile(path):
        raise DataError(f"{path}: no such file of proposals")
    try:
        with PathManager.open(path, "rb") as file:
            content = load_plain_pickle(file, extra=_NUMBERS)
        # Give Detectron2 a rewritten copy, because NumPy's unpickling trusts types and sizes in the file.
        with tempfile.NamedTemporaryFile(suffix=".pkl") as copy:
            pickle.dump(content, copy)
            copy.flush()
            return load_proposals_into_dataset(records, copy.name)
    except Exception as error:  # pickles and files with another layout raise many types
        raise DataError(
            f"{path}: expected a pickle of proposals (ids, boxes, objectness_logits), which are arrays and plain "
            f"values: {type(error).__name__}: {reason(error)}"
        ) from error
