"""Select parameters by patterns of names, such as the patterns in MODEL.FREEZE."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from seesaw_d2.errors import ConfigError
from seesaw_d2.suggestions import near_names


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern matches the name of a parameter, or the name of a module that contains the parameter.

    The wildcards ``*`` and ``?`` also match dots. For example, "backbone" matches all parameters in the backbone, and
    "roi_heads.box_predictor*.cls_score" matches the classifiers of Mask R-CNN and of all stages of a cascade.
    """
    prefixes = list(_prefixes(name))
    return any(fnmatchcase(prefix, pattern) for pattern in patterns for prefix in prefixes)


def select(names: Iterable[str], patterns: Sequence[str], key: str) -> set[str]:
    """Return the names that match at least one of the patterns.

    Args:
        names: names of a model's parameters and, possibly, buffers.
        patterns: names, possibly with the wildcards that ``matches`` supports.
        key: config key that sets the patterns, for the message.

    Raises:
        ConfigError: a pattern is not a string, or matches no name. The message lists the most similar names.
    """
    names = list(names)
    for index, pattern in enumerate(patterns):
        if not isinstance(pattern, str):
            raise ConfigError(f"{key}[{index}]: expected a name or a pattern of names (a string), found {pattern!r}")
        if not any(matches(name, [pattern]) for name in names):
            near = ", ".join(_nearest(pattern, names))
            raise ConfigError(
                f"{key}[{index}]: no parameter or module of the model matches the pattern {pattern!r}. Similar names: "
                f"{near}"
            )
    return {name for name in names if matches(name, patterns)}


def _prefixes(name: str) -> Iterable[str]:
    """Return the name and its prefixes that end before a dot, such as "a", "a.b", "a.b.c" for "a.b.c"."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _nearest(pattern: str, names: list[str]) -> list[str]:
    candidates = dict.fromkeys(prefix for name in names for prefix in _prefixes(name))
    plain = pattern.replace("*", "").replace("?", "")
    near = near_names(plain, candidates, count=4, cutoff=0.5)
    return near or sorted({name.split(".")[0] for name in names})
