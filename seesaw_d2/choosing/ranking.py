"""Rankings of candidates and how sure they are.

Shapes: S seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seesaw_d2.choosing.loss_candidates import Candidate


@dataclass(frozen=True, eq=False)
class Ranked:
    """A candidate with its values (S,) of the metric that the ranking is by."""

    candidate: Candidate
    values: np.ndarray

    @property
    def mean(self) -> float:
        """Return the mean over the seeds, without NaN."""
        return float(np.nanmean(self.values)) if np.isfinite(self.values).any() else float("-inf")


def rank(found: Mapping[Candidate, np.ndarray]) -> list[Ranked]:
    """Return the best candidate of each method, by the mean over the seeds, the best one first."""
    best: dict[tuple[str, str], Ranked] = {}
    for candidate, values in found.items():
        entry = Ranked(candidate, values)
        if candidate.method not in best or entry.mean > best[candidate.method].mean:
            best[candidate.method] = entry
    return sorted(best.values(), key=lambda entry: -entry.mean)


@dataclass(frozen=True)
class Difference:
    """Paired differences of two candidates by seed: mean, standard deviation, and how many of all are positive."""

    mean: float
    deviation: float
    wins: int
    count: int

    @property
    def clear(self) -> bool:
        """Return whether the mean is more than two standard errors above 0 and all differences are positive."""
        return self.wins == self.count > 1 and self.mean > 2 * self.deviation / self.count**0.5


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Return the paired difference of two arrays (S,)."""
    values = first - second
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return Difference(float(np.mean(values)), deviation, int((values > 0).sum()), len(values))
