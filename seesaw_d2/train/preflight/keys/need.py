"""Define ``Need``, a condition under which a config key is read."""

from collections.abc import Callable
from dataclasses import dataclass

from detectron2.config import CfgNode


@dataclass(frozen=True)
class Need:
    """Condition under which a config key is read: another key, called the choice, has a suitable value.

    Attributes:
        key: the choice, such as "MODEL.ROI_HEADS.NAME".
        wanted: the suitable values as text, for messages.
        met: function that returns whether the choice has a suitable value in a config.
        strict: whether the choice selects the kind of model. If so, keys in a ``_BASE_`` must be read, too.
        preset: whether a ``_BASE_`` may set the key, so that derived configs only set the choice.
        beside: whether one file may set both keys, because Detectron2's trainer ignores the choice and reads the key.
    """

    key: str
    wanted: str
    met: Callable[[CfgNode], bool]
    strict: bool = False
    preset: bool = False
    beside: bool = False
