"""Conditions under which a config key is read."""

from collections.abc import Callable
from dataclasses import dataclass

from detectron2.config import CfgNode


@dataclass(frozen=True)
class Need:
    """A key is read only if another key, the choice, has certain values.

    Attributes:
        key: the choice, such as "MODEL.ROI_HEADS.NAME".
        wanted: those values, for a message.
        met: returns whether a config has one of them.
        strict: the choice decides which kind of model is trained, so that keys of a ``_BASE_`` must be read too.
        preset: a ``_BASE_`` may set the key for derived configs that make the choice.
        beside: the same file may set both, because Detectron2's trainer reads the key there.
    """

    key: str
    wanted: str
    met: Callable[[CfgNode], bool]
    strict: bool = False
    preset: bool = False
    beside: bool = False
