"""Rank the compared losses by a metric, and test whether the best one is better than the second."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seesaw_d2.choosing.loss_candidates import Candidate

# Two-sided 5 % critical values of Student's t distribution with 1, 2, ..., 10 degrees of freedom (2 to 11 seeds). With
# more seeds, the t-test uses the last value, which exceeds the exact critical value by at most 14 %.
_CRITICAL_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, eq=False)
class Ranked:
    """A loss and its values of the metric that ranks the losses.

    Attributes:
        candidate: the loss with hyperparameters and a type of classifier.
        values: the metric that ranks the losses, such as AP, an array with one value for each seed. NaN if undefined.
    """

    candidate: Candidate
    values: np.ndarray

    @property
    def mean(self) -> float:
        """Return the mean of ``values`` over the seeds, ignoring NaN, or -inf if all values are NaN."""
        return float(np.nanmean(self.values)) if np.isfinite(self.values).any() else float("-inf")


def rank(found: Mapping[Candidate, np.ndarray]) -> list[Ranked]:
    """Rank the methods (pairs of loss and type of classifier) by the mean of a metric over the seeds.

    Args:
        found: dict from candidate (a method with hyperparameters) to an array of the metric, one value for each seed.

    Returns:
        the best candidate of each method, in descending order of the means.
    """
    best: dict[tuple[str, str], Ranked] = {}
    for candidate, values in found.items():
        entry = Ranked(candidate, values)
        if candidate.method not in best or entry.mean > best[candidate.method].mean:
            best[candidate.method] = entry
    return sorted(best.values(), key=lambda entry: -entry.mean)


@dataclass(frozen=True)
class Difference:
    """Summary of the metric differences between two losses that were trained with the same seeds.

    Attributes:
        mean, deviation: mean and standard deviation of the differences over the seeds.
        wins: number of seeds with a positive difference.
        count: number of seeds with a difference. Seeds for which a metric is NaN are not counted.
    """

    mean: float
    deviation: float
    wins: int
    count: int

    @property
    def clear(self) -> bool:
        """Return True if the first loss wins with every seed, and its lead is significant (two-sided t-test at 5 %)."""
        if not self.wins == self.count > 1:
            return False
        critical = _CRITICAL_T[min(self.count - 1, len(_CRITICAL_T)) - 1]
        return self.mean > critical * self.deviation / self.count**0.5


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Summarize the differences ``first - second`` of a metric over the seeds. Seeds with NaN are ignored.

    Args:
        first, second: arrays with the metric of two losses, one value for each seed, in the same order of the seeds.
    """
    values = (first - second)[np.isfinite(first - second)]
    mean = float(np.mean(values)) if len(values) else float("nan")
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return Difference(mean, deviation, int((values > 0).sum()), len(values))
