"""Checks of values of configs and data files that are written and shown later."""

import itertools
import math
from typing import Any

# Integers that a tensor or a JSON reader holds: from -_BOUND to _BOUND - 1.
_BOUND = 2**63


def plain_problem(value: Any, seen: set[int] | None = None) -> str:
    """Return what is wrong with a value and those in it; "" if nothing is.

    Integers have at most 64 bits, and text has no half characters.
    """
    if isinstance(value, str):
        return "" if encodable(value) else f"expected text, found half a character in {ascii(value)[:80]}"
    if isinstance(value, int) and not -_BOUND <= value < _BOUND:
        digits = round(value.bit_length() * math.log10(2))
        return f"expected integers of at most 64 bits, found one of about {digits} digits"
    seen = set() if seen is None else seen
    if not isinstance(value, (dict, list, set, tuple)) or id(value) in seen:
        return ""
    seen.add(id(value))
    inner = itertools.chain(value, value.values()) if isinstance(value, dict) else value
    return next((found for each in inner if (found := plain_problem(each, seen))), "")


def encodable(text: str) -> bool:
    """Return whether text can be written as UTF-8: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
