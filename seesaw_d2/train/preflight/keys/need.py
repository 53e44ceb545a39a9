"""Conditions under which a config key is read."""

from collections.abc import Callable
from dataclasses import dataclass

from detectron2.config import CfgNode


@dataclass(frozen=True)
class Need:
    """Condition that a key is read only if another key, the choice, has certain values.

    Attributes:
        key: the choice, such as "MODEL.ROI_HEADS.NAME".
        wanted: these values as text, for messages.
        met: function that returns whether a config has one of these values.
        strict: whether the choice selects the kind of model, so that keys in a ``_BASE_`` must be read, too.
        preset: whether a ``_BASE_`` may set the key for derived configs that make the choice.
        beside: whether the same file may set both keys, because Detectron2's trainer reads this key.
    """

    key: str
    wanted: str
    met: Callable[[CfgNode], bool]
    strict: bool = False
    preset: bool = False
    beside: bool = False
