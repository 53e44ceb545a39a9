"""Registry of the metrics of detectors and image classifiers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[[Any], dict[str, float]])


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        compute: function that takes the results of an evaluation (see ``register_metric``) and returns a dict from
            metric name to percent, with NaN for undefined metrics.
        check: function that takes the ground truth and raises ConfigError if the data set does not support the metric.
            The evaluator calls ``check`` before ``compute``. If None, all data sets support the metric.
        optional: If True, compute the metric only if TEST.LVIS_METRICS contains its name. If False, always compute it.
    """

    compute: Callable[[Any], dict[str, float]]
    check: Callable[[Any], Any] | None = None
    optional: bool = False


# Task ("detection" or "classification") -> name -> metric. Results list the metrics in this order.
METRIC_REGISTRY: dict[str, dict[str, Metric]] = {"detection": {}, "classification": {}}


def register_metric(
    name: str, task: str = "detection", *, check: Callable[[Any], Any] | None = None, optional: bool = False
) -> Callable[[F], F]:
    """Return a decorator that registers a function as a metric.

    Args:
        name: name of the metric in the registry and, if the metric is optional, in TEST.LVIS_METRICS.
        task: "detection" for a function that takes ``DetectionResults``, or "classification" for a function that takes
            ``ClassificationResults``.
        check, optional: see ``Metric``.

    Raises:
        KeyError: a metric of this name is already registered for the task.
    """

    def register(function: F) -> F:
        if name in METRIC_REGISTRY[task]:
            raise KeyError(f"register_metric: the {task} metric {name!r} is already registered. Use another name")
        METRIC_REGISTRY[task][name] = Metric(function, check, optional)
        return function

    return register


def compute_metrics(task: str, results: Any, optional: tuple[str, ...] = ()) -> dict[str, float]:
    """Compute the metrics of a task. Compute optional metrics only if their names are in ``optional``."""
    found: dict[str, float] = {}
    for name, metric in METRIC_REGISTRY[task].items():
        if not metric.optional or name in optional:
            found |= metric.compute(results)
    return found
