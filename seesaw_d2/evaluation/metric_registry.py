"""The registry of metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[[Any], dict[str, float]])


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        compute: maps the results of an evaluation to metric name -> percent, NaN where undefined.
        check: called with the ground truth before the metric is computed; raises ConfigError if the data set does not
            support the metric.
        optional: compute the metric only if TEST.LVIS_METRICS names it.
    """

    compute: Callable[[Any], dict[str, float]]
    check: Callable[[Any], Any] | None = None
    optional: bool = False


# Task ("detection" or "classification") -> name -> metric, in the order of the results.
METRIC_REGISTRY: dict[str, dict[str, Metric]] = {"detection": {}, "classification": {}}


def register_metric(
    name: str, task: str = "detection", *, check: Callable[[Any], Any] | None = None, optional: bool = False
) -> Callable[[F], F]:
    """Return a decorator that registers a metric.

    Args:
        name: key of the registry and, for an optional metric, its name in TEST.LVIS_METRICS.
        task: "detection": the function is given ``DetectionResults``. "classification": ``ClassificationResults``.
        check, optional: see ``Metric``.
    """

    def register(function: F) -> F:
        if name in METRIC_REGISTRY[task]:
            raise KeyError(f"{name}: a {task} metric of this name is already registered")
        METRIC_REGISTRY[task][name] = Metric(function, check, optional)
        return function

    return register


def compute_metrics(task: str, results: Any, optional: tuple[str, ...] = ()) -> dict[str, float]:
    """Return all metrics of a task that are not optional, and the optional ones that are named."""
    found: dict[str, float] = {}
    for name, metric in METRIC_REGISTRY[task].items():
        if not metric.optional or name in optional:
            found |= metric.compute(results)
    return found
