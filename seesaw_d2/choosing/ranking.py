"""Rank candidates, and test whether the best candidate is better than the second.

Shapes: S seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seesaw_d2.choosing.loss_candidates import Candidate


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
        count: number of differences.
    """

    mean: float
    deviation: float
    wins: int
    count: int

    @property
    def clear(self) -> bool:
        """Return True if all differences are positive and their mean is more than two standard errors above 0."""
        return self.wins == self.count > 1 and self.mean > 2 * self.deviation / self.count**0.5


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Summarize the differences ``first - second`` of two arrays (S,) of metrics, paired by seed."""
    values = first - second
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return Difference(float(np.mean(values)), deviation, int((values > 0).sum()), len(values))
