"""Lists of class names in the order of their indices, and the comparison of two such lists. C: number of classes."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seesaw_d2.errors import ConfigError, SeesawError, WeightsError

logger = logging.getLogger(__name__)

# Key of the class names in checkpoints and recorded class counts: a list of C strings.
ENTRY = "categories"


@dataclass(frozen=True)
class Categories:
    """Class names in the order of their indices (C), and their source for messages."""

    names: tuple[str, ...]
    source: str


def entry_of(content: Mapping[str, Any], source: str) -> Categories | None:
    """Return the class names in a checkpoint, or None if it has none (older checkpoints) or they are invalid."""
    names = content.get(ENTRY)
    if names is None:
        return None
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        logger.warning(
            f'{source}: "{ENTRY}": expected a list of class names, found another value; class names are not compared'
        )
        return None
    return Categories(tuple(names), source)


def kept_entry(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict with only the class names, to copy them to another file."""
    return {ENTRY: content[ENTRY]} if ENTRY in content else {}


def check_order(
    first: Categories, second: Categories, *, error: type[SeesawError] = ConfigError, other_data: bool = False
) -> str:
    """Check that two lists of class names have the same order.

    Names that differ only in case, Unicode form or surrounding spaces are equal, unless one list contains two such
    names.

    Args:
        first, second: the class names. Lists of different lengths are not compared.
        error: the exception type to raise.
        other_data: True: ``second`` may have other classes, for example when training starts from other weights. Only a
            permutation of the same names is an error. False: see "Raises".

    Returns:
        a warning if some names differ without being reordered, else "".

    Raises:
        error: a name in both lists has different indices. The message names the first such index.
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
        f"({len(differing)} of {len(left)} differ)"
    )
    if reordered:
        raise error(f"expected the same categories in the same order, but {found}")
    if moved and not other_data:
        raise error(f"expected categories that both have at the same indices, but {found}")
    return f"category names differ: {found}; results are correct only if both names mean the same category"


def check_checkpoint(found: Categories | None, expected: Categories | None, *, must_fit: bool = True) -> str:
    """Check a checkpoint's categories against a data set's with ``check_order``, if both are known.

    Args:
        found: the checkpoint's categories.
        expected: the data set's categories.
        must_fit: True: the model is used unchanged, so that a different number of categories is also an error.

    Returns:
        a warning, or "".

    Raises:
        WeightsError: the categories differ.
    """
    if found is None or expected is None:
        return ""
    if must_fit and len(found.names) != len(expected.names):
        raise WeightsError(
            f"{found.source}: expected the {len(expected.names)} categories of {expected.source}, found "
            f"{len(found.names)}"
        )
    try:
        return check_order(found, expected, error=WeightsError, other_data=not must_fit)
    except WeightsError as error:
        hint = "" if must_fit else "; MODEL.WEIGHTS_EXCEPT can exclude the parameters with rows for categories"
        raise WeightsError(f"{error}{hint}") from error


def _comparable(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    lists = [list(first), list(second)]
    folded = [[unicodedata.normalize("NFC", name).casefold().strip() for name in names] for names in lists]
    if all(len(set(short)) == len(set(names)) for short, names in zip(folded, lists, strict=True)):
        lists = folded
    return lists[0], lists[1]
