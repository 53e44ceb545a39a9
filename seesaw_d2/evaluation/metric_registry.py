"""The registry of metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[[Any], dict[str, float]])


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        compute: function that returns a dict from metric names to percent for the results of an evaluation. Undefined
            metrics are NaN.
        check: function that is called with the ground truth before the metric is computed. It raises ConfigError if the
            data set does not support the metric.
        optional: True: compute the metric only if TEST.LVIS_METRICS names it. False: always compute it.
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
        task: "detection": the function takes ``DetectionResults``. "classification": it takes
            ``ClassificationResults``.
        check, optional: see ``Metric``.
    """

    def register(function: F) -> F:
        if name in METRIC_REGISTRY[task]:
            raise KeyError(f"{name}: a {task} metric of this name is already registered")
        METRIC_REGISTRY[task][name] = Metric(function, check, optional)
        return function

    return register


def compute_metrics(task: str, results: Any, optional: tuple[str, ...] = ()) -> dict[str, float]:
    """Compute the metrics of a task: those that are not optional, and those named in ``optional``."""
    found: dict[str, float] = {}
    for name, metric in METRIC_REGISTRY[task].items():
        if not metric.optional or name in optional:
            found |= metric.compute(results)
    return found
