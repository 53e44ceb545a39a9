"""Define ``Need``, a condition under which a config key is read."""

from collections.abc import Callable
from dataclasses import dataclass

from detectron2.config import CfgNode


@dataclass(frozen=True)
class Need:
    """Condition under which a config key is read: another key, the choice, has one of certain values.

    Attributes:
        key: the choice, such as "MODEL.ROI_HEADS.NAME".
        wanted: the certain values as text, for messages.
        met: function that returns whether a config has one of the certain values.
        strict: whether the choice selects the kind of model. Then keys in a ``_BASE_`` must be read, too.
        preset: whether a ``_BASE_`` may set the key for derived configs that make the choice.
        beside: whether one file may set both keys, because Detectron2's trainer reads only the dependent key.
    """

    key: str
    wanted: str
    met: Callable[[CfgNode], bool]
    strict: bool = False
    preset: bool = False
    beside: bool = False
