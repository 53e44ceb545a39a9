"""Compare the class names of datasets and checkpoints. All lists of class names are in the order of class indices."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seesaw_d2.errors import ConfigError, SeesawError, WeightsError

logger = logging.getLogger(__name__)

# Checkpoints and files of class counts store the list of class names under this key.
ENTRY = "categories"


@dataclass(frozen=True)
class Categories:
    """Class names of a dataset or a checkpoint.

    Args:
        names: class names, in the order of class indices.
        source: dataset or file that contains the names, for messages.
    """

    names: tuple[str, ...]
    source: str


def entry_of(content: Mapping[str, Any], source: str) -> Categories | None:
    """Return the class names in a checkpoint, or None if the checkpoint contains no class names.

    If the class names are invalid, log a warning and return None.

    Args:
        content: content of the checkpoint.
        source: path of the checkpoint, for messages.
    """
    names = content.get(ENTRY)
    if names is None:
        return None
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        logger.warning(
            f'{source}: the value of "{ENTRY}" is not a list of class names. Therefore class names are not compared.'
        )
        return None
    return Categories(tuple(names), source)


def kept_entry(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict with only the class names of a checkpoint, to copy them to another file, or {} without names."""
    return {ENTRY: content[ENTRY]} if ENTRY in content else {}


def check_order(
    first: Categories, second: Categories, *, error: type[SeesawError] = ConfigError, other_data: bool = False
) -> str:
    """Check that two lists of class names have the same order. Lists of different lengths are not compared.

    Two names are considered equal if they differ only in case, Unicode form or surrounding spaces. But if one list
    contains two such names, only identical names are considered equal.

    Args:
        first, second: the two lists of class names.
        error: the exception type to raise.
        other_data: whether the lists may contain different classes. This is the case if a training starts from weights
            for another dataset.

    Returns:
        a warning if names differ, but this is not an error. Otherwise, an empty string.

    Raises:
        error: a name has different indices in the two lists. If ``other_data`` is True, this is an error only if the
            lists contain the same names in a different order. The message contains the first such index.
    """
    if len(first.names) != len(second.names):
        return ""
    left, right = _comparable(first.names, second.names)
    differing = [index for index in range(len(left)) if left[index] != right[index]]
    if not differing:
        return ""
    moved = Counter(left[index] for index in differing) & Counter(right[index] for index in differing)
    reordered = moved.total() == len(differing)
    index = next((index for index in differing if left[index] in moved or right[index] in moved), differing[0])
    found = (
        f"index {index} is {first.names[index]!r} in {first.source} and {second.names[index]!r} in {second.source} "
        f"({len(differing)} of {len(left)} names differ)"
    )
    if reordered:
        raise error(f"expected the same categories in the same order, but {found}. Models identify categories by index")
    if moved and not other_data:
        raise error(
            f"expected the same index for each category in both lists, but {found}. Models identify categories by index"
        )
    return f"category names differ: {found}. Results are correct only if both names mean the same category"


def check_checkpoint(found: Categories | None, expected: Categories | None, *, must_fit: bool = True) -> str:
    """Check that the class names of a checkpoint have the same order as those of a dataset.

    Args:
        found: class names of the checkpoint, or None if unknown.
        expected: class names of the dataset, or None if unknown. Unknown names are not compared.
        must_fit: whether both must have the same number of classes, because all weights of the checkpoint are used. If
            False, the checkpoint may belong to another dataset.

    Returns:
        a warning if names differ, but this is not an error. Otherwise, an empty string.

    Raises:
        WeightsError: a name has different indices in the two lists (see ``check_order``), or ``must_fit`` is True and
            the numbers of classes differ.
    """
    if found is None or expected is None:
        return ""
    if must_fit and len(found.names) != len(expected.names):
        raise WeightsError(
            f"{found.source}: expected the {len(expected.names)} categories of {expected.source}, found "
            f"{len(found.names)} categories"
        )
    try:
        return check_order(found, expected, error=WeightsError, other_data=not must_fit)
    except WeightsError as error:
        hint = (
            "" if must_fit else ". To train new class-specific layers, list their parameters in MODEL.WEIGHTS_EXCEPT."
        )
        raise WeightsError(f"{error}{hint}") from error


def _comparable(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    lists = [list(first), list(second)]
    folded = [[unicodedata.normalize("NFC", name).casefold().strip() for name in names] for names in lists]
    if all(len(set(short)) == len(set(names)) for short, names in zip(folded, lists, strict=True)):
        lists = folded
    return lists[0], lists[1]
