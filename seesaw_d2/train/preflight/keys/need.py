"""What a key needs in order to be read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from detectron2.config import CfgNode


@dataclass(frozen=True)
class Need:
    """A key is read only if another one, the choice, has some value.

    Attributes:
        key: of the choice, such as "MODEL.ROI_HEADS.NAME".
        wanted: the values with which the key is read, for a message.
        met: whether a config has one of them.
        strict: another choice changes what is trained, and is no replacement: keys of a ``_BASE_`` count too.
        preset: a ``_BASE_`` may set the key for a choice that derived configs make.
        beside: a file may set the key beside the choice: Detectron2's own trainer reads it there.
    """

    key: str
    wanted: str
    met: Callable[[CfgNode], bool]
    strict: bool = False
    preset: bool = False
    beside: bool = False


def covers(pattern: str, key: str) -> bool:
    """Whether a pattern is the key, or with ``.*`` at its end a node around it."""
    return pattern == key or (pattern.endswith("*") and key.startswith(pattern[:-1]))


def covered(patterns: Iterable[str], key: str) -> bool:
    """Whether one of the patterns is the key, or a node around it."""
    return any(covers(pattern, key) for pattern in patterns)
