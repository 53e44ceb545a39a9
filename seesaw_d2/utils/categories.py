"""Class names in the order of their indices, and whether two lists of them mean the same classes.

C classes.
"""

import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seesaw_d2.errors import ConfigError, SeesawError, WeightsError

logger = logging.getLogger(__name__)

# The entry of a checkpoint, and of recorded class counts: a list of C strings.
ENTRY = "categories"


@dataclass(frozen=True)
class Categories:
    """C class names in the order of their indices, and what has them, for messages."""

    names: tuple[str, ...]
    source: str


def entry_of(content: Mapping[str, Any], source: str) -> Categories | None:
    """The class names that a checkpoint keeps; None where it has none, as older ones, or something else there."""
    names = content.get(ENTRY)
    if names is None:
        return None
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        logger.warning(f'{source}: "{ENTRY}": expected a list of class names, found something else; it is not compared')
        return None
    return Categories(tuple(names), source)


def kept_entry(content: Mapping[str, Any]) -> dict[str, Any]:
    """The entry alone, for a file that is made of another one."""
    return {ENTRY: content[ENTRY]} if ENTRY in content else {}


def check_order(
    first: Categories, second: Categories, *, error: type[SeesawError] = ConfigError, other_data: bool = False
) -> str:
    """Compare the class names of what is used together.

    Names are the same if they differ only in case, Unicode form or spaces around them, unless a list tells such names
    apart.

    Args:
        first, second: of the same number of classes; other numbers are not compared.
        error: what to raise.
        other_data: the second may have other classes, as when a training starts from another one's weights. Then only
            the same names in another order are an error.

    Returns:
        a warning where names were replaced by others at their indices; "" where there is nothing to say.

    Raises:
        error: a name that both have stands at different indices. The message names the first index that differs.
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
        raise error(f"the same categories in another order: {found}; expected the same order in both")
    if moved and not other_data:
        raise error(f"categories at other indices: {found}; expected each name that both have at the same index")
    return f"other names of categories: {found}; what is measured is right only if both mean the same"


def check_checkpoint(found: Categories | None, expected: Categories | None, *, must_fit: bool = True) -> str:
    """``check_order`` of a checkpoint's categories and a data set's, where both are known.

    Args:
        must_fit: the model is used as it is, so that another number of categories is an error too.

    Raises:
        WeightsError: they are not those.
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
        hint = "" if must_fit else "; MODEL.WEIGHTS_EXCEPT leaves out the parameters that have rows for categories"
        raise WeightsError(f"{error}{hint}") from error


def _comparable(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], list[str]]:
    lists = [list(first), list(second)]
    folded = [[unicodedata.normalize("NFC", name).casefold().strip() for name in names] for names in lists]
    if all(len(set(short)) == len(set(names)) for short, names in zip(folded, lists, strict=True)):
        lists = folded
    return lists[0], lists[1]
