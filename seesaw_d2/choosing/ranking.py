"""Rank candidates, and test whether the best candidate is better than the second.

Shapes: S seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seesaw_d2.choosing.loss_candidates import Candidate

# Two-sided 5 % critical values of Student's t distribution with 1, 2, ..., 10 degrees of freedom. Differences over more
# than 11 seeds use the last value, which is too strict for them by at most 12 %.
_CRITICAL_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, eq=False)
class Ranked:
    """A candidate and its values (S,) of the metric that ranks the candidates, one per seed."""

    candidate: Candidate
    values: np.ndarray

    @property
    def mean(self) -> float:
        """Return the mean over the seeds, ignoring NaN, or -inf if all values are NaN."""
        return float(np.nanmean(self.values)) if np.isfinite(self.values).any() else float("-inf")


def rank(found: Mapping[Candidate, np.ndarray]) -> list[Ranked]:
    """Return the candidate of each method with the highest mean over the seeds, in descending order of the means."""
    best: dict[tuple[str, str], Ranked] = {}
    for candidate, values in found.items():
        entry = Ranked(candidate, values)
        if candidate.method not in best or entry.mean > best[candidate.method].mean:
            best[candidate.method] = entry
    return sorted(best.values(), key=lambda entry: -entry.mean)


@dataclass(frozen=True)
class Difference:
    """Summary of the metric differences between two candidates, paired by seed.

    Attributes:
        mean, deviation: mean and standard deviation of the differences.
        wins: number of positive differences.
        count: number of differences. Seeds without a value of both candidates have no difference.
    """

    mean: float
    deviation: float
    wins: int
    count: int

    @property
    def clear(self) -> bool:
        """Return True if all differences are positive, and a t-test (two-sided, 5 %) finds that their mean is not 0."""
        if not self.wins == self.count > 1:
            return False
        critical = _CRITICAL_T[min(self.count - 1, len(_CRITICAL_T)) - 1]
        return self.mean > critical * self.deviation / self.count**0.5


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Summarize the differences ``first - second`` of two arrays (S,) of metrics, paired by seed.

    Seeds for which a metric is NaN are ignored.
    """
    values = (first - second)[np.isfinite(first - second)]
    mean = float(np.mean(values)) if len(values) else float("nan")
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return Difference(mean, deviation, int((values > 0).sum()), len(values))
