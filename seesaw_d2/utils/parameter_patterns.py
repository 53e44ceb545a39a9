"""Patterns of parameter and module names, as config keys give them."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from seesaw_d2.errors import ConfigError
from seesaw_d2.suggestions import near_names


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the name or that of a module around it.

    ``*`` and ``?`` are wildcards, dots included: "backbone" is everything in the backbone, and
    "roi_heads.box_predictor*.cls_score" the classifier of Mask R-CNN and those of all stages of a cascade.
    """
    prefixes = list(_prefixes(name))
    return any(fnmatchcase(prefix, pattern) for pattern in patterns for prefix in prefixes)


def select(names: Iterable[str], patterns: Sequence[str], key: str) -> set[str]:
    """The names that one of the patterns matches.

    Args:
        names: of a model's parameters, or of its state.
        patterns: see ``matches``.
        key: the config key that holds them, for the message.

    Raises:
        ConfigError: a pattern is not a string, or matches nothing; the nearest names are listed.
    """
    names = list(names)
    for index, pattern in enumerate(patterns):
        if not isinstance(pattern, str):
            raise ConfigError(f"{key}[{index}]: expected a name or a pattern of names, found {pattern!r}")
        if not any(matches(name, [pattern]) for name in names):
            near = ", ".join(_nearest(pattern, names))
            raise ConfigError(
                f"{key}[{index}]: expected a pattern of the model's names, found {pattern!r}, which matches none; "
                f"near it: {near}"
            )
    return {name for name in names if matches(name, patterns)}


def _prefixes(name: str) -> Iterable[str]:
    """ "a", "a.b", "a.b.c" for "a.b.c"."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _nearest(pattern: str, names: list[str]) -> list[str]:
    candidates = dict.fromkeys(prefix for name in names for prefix in _prefixes(name))
    plain = pattern.replace("*", "").replace("?", "")
    near = near_names(plain, candidates, count=4, cutoff=0.5)
    return near or sorted({name.split(".")[0] for name in names})
