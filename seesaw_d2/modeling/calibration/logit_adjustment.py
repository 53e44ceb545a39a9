"""Define logit adjustment, which subtracts the log frequency of each category from its logit at inference.

Source: Long-tail Learning via Logit Adjustment (Menon et al., ICLR 2021).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.category_statistics import category_counts
from seesaw_d2.modeling.calibration.base import Calibration


def logit_adjustment(instance_counts: Tensor, tau: float) -> Tensor:
    """Return -τ log π_c for each category c, where π_c is the share of all instances that belong to category c.

    Args:
        instance_counts: number of instances of each category, clamped from below to 1, so that the result is finite.
        tau: τ >= 0.
    """
    counts = instance_counts.double().clamp(min=1)
    return -tau * (counts / counts.sum()).log()


class LogitAdjustment(Calibration):
    """Subtract τ log π_c from the logit of each category c at inference (equation 9).

    π_c is the share of the training instances that belong to category c. The paper classifies images without
    background. In a detector, the adjustment applies to P(category | foreground), so that P(background) does not
    change.

    Args:
        instance_count: number of training instances of each category.
        tau: τ >= 0. 0 does not change the scores.
    """

    keeps_background: ClassVar[bool] = True
    config_keys: ClassVar[dict[str, str]] = {"tau": "TAU"}
    grid: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5)

    def __init__(self, instance_count: Tensor | Sequence[int], tau: float):
        tau = check_number("tau", tau, "a number >= 0", lambda value: value >= 0)
        counts = category_counts("instance_count", instance_count)
        super().__init__(logit_adjustment(counts, tau))

    @classmethod
    def from_statistics(cls, statistics: Any, **arguments: Any) -> "LogitAdjustment":
        return cls(statistics.instance_count, **arguments)
