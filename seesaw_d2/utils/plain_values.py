"""Check that values from configs and data files can be displayed and written to files."""

import itertools
import math
from typing import Any

# Tensors and JSON readers support only 64-bit integers, from -_BOUND to _BOUND - 1.
_BOUND = 2**63


def plain_problem(value: Any, seen: set[int] | None = None) -> str:
    """Return a description of the first problem in a value and its nested values, or "" if there is no problem.

    Integers of more than 64 bits and text with unpaired surrogates are problems.

    Args:
        value: value of any type. Containers may contain themselves.
        seen: ids of the containers that the function has already checked.
    """
    if isinstance(value, str):
        return (
            ""
            if encodable(value)
            else f"expected valid Unicode text, found an unpaired surrogate in {ascii(value)[:80]}"
        )
    if isinstance(value, int) and not -_BOUND <= value < _BOUND:
        digits = round(value.bit_length() * math.log10(2))
        return f"expected signed 64-bit integers, found an integer of about {digits} digits"
    seen = set() if seen is None else seen
    if not isinstance(value, (dict, list, set, tuple)) or id(value) in seen:
        return ""
    seen.add(id(value))
    inner = itertools.chain(value, value.values()) if isinstance(value, dict) else value
    return next((found for each in inner if (found := plain_problem(each, seen))), "")


def encodable(text: str) -> bool:
    """Return whether text can be encoded as UTF-8. Text with unpaired surrogates cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
