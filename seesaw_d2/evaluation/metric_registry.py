"""Register the metrics of detectors and image classifiers, and compute the registered metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[[Any], dict[str, float]])


@dataclass(frozen=True)
class Metric:
    """Registered metric: the function that computes it, and the conditions for its use.

    Attributes:
        compute: function that computes the metric. The argument is a ``DetectionResults`` object for detectors, or a
            ``ClassificationResults`` object for image classifiers. The function returns a dict from metric name to
            percent, with NaN for undefined metrics.
        check: function that takes the ground truth, and raises ConfigError if the dataset does not support the metric.
            The evaluator calls ``check`` before ``compute``. If None, all datasets support the metric.
        optional: if True, the metric is computed only if TEST.LVIS_METRICS contains its name. If False, the metric is
            always computed.
    """

    compute: Callable[[Any], dict[str, float]]
    check: Callable[[Any], Any] | None = None
    optional: bool = False


# All registered metrics: a dict from task ("detection" or "classification") to a dict from the name of a metric to the
# metric. The results of an evaluation list the metrics in this order.
METRIC_REGISTRY: dict[str, dict[str, Metric]] = {"detection": {}, "classification": {}}


def register_metric(
    name: str, task: str = "detection", *, check: Callable[[Any], Any] | None = None, optional: bool = False
) -> Callable[[F], F]:
    """Return a decorator that registers a function as a metric.

    Args:
        name: name of the metric in the registry and, if the metric is optional, in TEST.LVIS_METRICS.
        task: "detection" for a function that takes ``DetectionResults``, or "classification" for a function that takes
            ``ClassificationResults``. The function returns a dict from metric name to percent.
        check: function that takes the ground truth, and raises ConfigError if the dataset does not support the metric.
            If None, all datasets support the metric.
        optional: if True, the metric is computed only if TEST.LVIS_METRICS contains its name.

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
    """Compute the registered metrics of a task, except the optional metrics that are not requested.

    Args:
        task: "detection" or "classification".
        results: argument of the metrics, ``DetectionResults`` or ``ClassificationResults``.
        optional: names of the optional metrics to compute. The other optional metrics are not computed.

    Returns:
        a dict from metric name to percent.
    """
    found: dict[str, float] = {}
    for name, metric in METRIC_REGISTRY[task].items():
        if not metric.optional or name in optional:
            found |= metric.compute(results)
    return found
