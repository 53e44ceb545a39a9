"""Define ``Need``, a condition under which the program reads a config key."""

from collections.abc import Callable
from dataclasses import dataclass

from detectron2.config import CfgNode


@dataclass(frozen=True)
class Need:
    """Condition under which the program reads a config key: another key, called the choice, has a certain value.

    For example, the program reads INPUT.CROP.SIZE only if the choice INPUT.CROP.ENABLED is True.

    Attributes:
        key: the choice, such as "INPUT.CROP.ENABLED".
        wanted: the values of the choice that meet the condition, as text for messages.
        met: function that returns whether a config meets the condition.
        strict: whether the choice selects the type of model, such as ROI heads. If True, the condition must also be met
            for keys in a ``_BASE_``.
        preset: whether a ``_BASE_`` may set the key without meeting the condition. Configs derived from this ``_BASE_``
            then need to set only the choice.
        beside: whether a file that sets the choice may also set the key without meeting the condition. Such a file also
            works with Detectron2's trainer, which ignores the choice and reads the key.
    """

    key: str
    wanted: str
    met: Callable[[CfgNode], bool]
    strict: bool = False
    preset: bool = False
    beside: bool = False
