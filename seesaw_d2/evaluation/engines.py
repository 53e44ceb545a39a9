"""The two programs that match detections with objects; both give the same curves."""

from collections.abc import Callable

from lvis import LVIS

from seesaw_d2.evaluation.curves import Curves
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.hotcoco_engine import hotcoco_curves
from seesaw_d2.evaluation.official_engine import official_curves

__all__ = ["ENGINES", "Curves", "hotcoco_curves", "official_curves"]

# By the name in TEST.LVIS_ENGINE.
ENGINES: dict[str, Callable[[LVIS, Detections, str], Curves]] = {
    "hotcoco": hotcoco_curves,
    "official": official_curves,
}
