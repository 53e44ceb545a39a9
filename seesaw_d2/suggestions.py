"""Suggest similar valid names in error messages about misspelled names."""

import difflib
from collections.abc import Iterable


def near_names(name: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return up to ``count`` names of ``known`` that are similar to ``name``, most similar first.

    Args:
        name: the misspelled name.
        known: all valid names.
        count: maximum number of names to return.
        cutoff: in [0, 1], minimum similarity (``difflib.SequenceMatcher.ratio``).
    """
    return difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)


def did_you_mean(names: Iterable[str]) -> str:
    """Return the end of an error message: ". Did you mean A or B?" for the names A and B, or "" without names."""
    listed = " or ".join(names)
    return f". Did you mean {listed}?" if listed else ""


def key_suggestion(key: str, known: Iterable[str]) -> str:
    """Return the end of an error message that suggests a similar config key, such as ". Did you mean SOLVER.BASE_LR?".

    If no full key is similar, compare only the names after the last dot, such as "BASE_LR". The node before the dot may
    be wrong. If these names also differ, return "".

    Args:
        key: the misspelled config key.
        known: all valid config keys.
    """
    keys = list(known)
    leaves = {each.rsplit(".", 1)[-1]: each for each in keys}
    return did_you_mean(near_names(key, keys) or [leaves[leaf] for leaf in near_names(key.rsplit(".", 1)[-1], leaves)])
