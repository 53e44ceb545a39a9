"""Load precomputed proposals (MODEL.LOAD_PROPOSALS) from a pickle file, without running code from this file."""

import pickle
import tempfile
from typing import Any

from detectron2.data.build import load_proposals_into_dataset
from detectron2.utils.file_io import PathManager

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import reason
from seesaw_d2.utils.plain_pickles import load_plain_pickle

# ``load_plain_pickle`` refuses all classes except those in this dict. Pickled proposals contain a single class,
# Detectron2's enumeration of box formats. Its values are loaded as integers.
_NUMBERS = {"detectron2.structures.boxes.BoxMode": int}


def load_proposals(records: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Add precomputed proposals (boxes and objectness scores) to dataset dicts.

    The returned dicts equal those of Detectron2's ``load_proposals_into_dataset``.

    Args:
        records: dataset dicts.
        path: path of a pickle file of a dict with the keys "ids", "boxes" and "objectness_logits".

    Raises:
        DataError: the file cannot be read, lacks proposals, or contains objects other than arrays and plain values.
    """
    if "://" not in path and not PathManager.isfile(path):
        raise DataError(
            f"{path}: expected a file of proposals, found no such file. Check DATASETS.PROPOSAL_FILES_TRAIN and "
            "DATASETS.PROPOSAL_FILES_TEST."
        )
    try:
        with PathManager.open(path, "rb") as file:
            content = load_plain_pickle(file, extra=_NUMBERS)
        # Let Detectron2 read a new pickle of the checked content. If it read the original file, NumPy's unpickling
        # would trust the types and sizes of arrays in the file without a check.
        with tempfile.NamedTemporaryFile(suffix=".pkl") as copy:
            pickle.dump(content, copy)
            copy.flush()
            return load_proposals_into_dataset(records, copy.name)
    except Exception as error:  # Damaged pickles raise errors of many types.
        raise DataError(
            f"{path}: cannot load the proposals ({type(error).__name__}: {reason(error)}). Expected a pickle of a dict "
            "with the keys ids, boxes and objectness_logits."
        ) from error
