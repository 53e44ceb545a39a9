"""Check TEST.EXPECTED_RESULTS and SOLVER.CHECKPOINT_BEST before the job, which reads both only after an evaluation."""

import math

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY, ProposalNetwork, SemanticSegmentor

from seesaw_d2.data.images.semantic_mapper import has_semantic_head
from seesaw_d2.data.records.catalog import read_annotation_file
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.build import SEMANTIC
from seesaw_d2.evaluation.detection_metrics import METRICS
from seesaw_d2.evaluation.metric_registry import METRIC_REGISTRY
from seesaw_d2.frequency_groups import SHOT_NAMES
from seesaw_d2.suggestions import did_you_mean, near_names

_KEY = "TEST.EXPECTED_RESULTS"
# Maps each task to a pair: the names of this project's metric functions in METRIC_REGISTRY, and the names of the
# metrics that these functions return. A function that a user has registered may return metrics with other names.
_REGISTERED = {
    "detection": ({"lvis"}, METRICS),
    "classification": ({"shots", "calibration"}, ("overall", *SHOT_NAMES, "ECE")),
}


def check_expected_results(cfg: CfgNode) -> None:
    """Check each item [task, metric, value, tolerance] of TEST.EXPECTED_RESULTS.

    The evaluation must compute the task, such as "bbox", and the metric, such as "AP". The names of metrics are not
    checked if the evaluator of the dataset, or a metric that the user registered, can return metrics with any names.

    Raises:
        ConfigError: an item is not [task, metric, value, tolerance], the evaluation does not compute the metric, or
            DATASETS.TEST does not contain exactly one dataset. Detectron2 compares the results of one dataset.
    """
    expected = list(cfg.TEST.EXPECTED_RESULTS)
    if not expected:
        return
    for item in expected:
        if not _is_item(item):
            raise ConfigError(
                f'{_KEY}: expected items [task, metric, value, tolerance], such as ["bbox", "AP", 38.5, 0.2], found '
                f"{item!r}"
            )
    names = list(cfg.DATASETS.TEST)
    if len(names) != 1:
        raise ConfigError(
            f"DATASETS.TEST: expected exactly one dataset with {_KEY}, found {len(names)} datasets. Detectron2 "
            "compares the results of one dataset."
        )
    known = known_metrics(cfg, names[0])
    if known is None:
        return
    for task, metric, *_ in expected:
        if task not in known:
            found = ", ".join(known) or "no tasks, because the annotation file has no annotations"
            raise ConfigError(
                f"{_KEY}: expected tasks that the evaluation of {names[0]} computes ({found}), found {task!r}"
            )
        if known[task] and metric not in known[task]:
            hint = did_you_mean(near_names(metric, known[task]))
            raise ConfigError(
                f"{_KEY}: expected a metric of the task {task!r} ({', '.join(known[task])}), found {metric!r}{hint}"
            )


def check_best_metric(cfg: CfgNode) -> None:
    """Raise ConfigError if the evaluations of a training do not compute the metric in SOLVER.CHECKPOINT_BEST.

    The metric is not checked if a dataset in DATASETS.TEST can have metrics with unknown names (``known_metrics``).
    """
    best, names, choices = cfg.SOLVER.CHECKPOINT_BEST, list(cfg.DATASETS.TEST), []
    for name in names if best else ():
        known = known_metrics(cfg, name)
        if known is None or not all(known.values()):
            return
        prefix = f"{name}/" if len(names) > 1 else ""  # as Detectron2 logs metrics
        choices += [f"{prefix}{task}/{metric}" for task, metrics in known.items() for metric in metrics]
    if best and best not in choices:
        hint = did_you_mean(near_names(best, choices))
        raise ConfigError(
            f"SOLVER.CHECKPOINT_BEST: expected a metric that the evaluation computes ({', '.join(choices)}), found "
            f"{best!r}{hint}"
        )


def _is_item(item) -> bool:
    if not isinstance(item, (list, tuple)) or len(item) != 4:
        return False
    task, metric, *numbers = item
    are_numbers = all(type(each) in (int, float) and math.isfinite(each) for each in numbers)
    return isinstance(task, str) and isinstance(metric, str) and are_numbers and numbers[1] >= 0


def known_metrics(cfg: CfgNode, name: str) -> dict[str, tuple[str, ...]] | None:
    """Return the tasks, such as "bbox", and the metrics, such as "AP", that the evaluation of a dataset computes.

    Args:
        cfg: the config.
        name: name of a registered dataset.

    Returns:
        a dict from task to the names of its metrics, or None if the tasks are unknown. For a task with unknown metrics,
        the value is an empty tuple.
    """
    kind = MetadataCatalog.get(name).get("evaluator_type")
    semantic: dict[str, tuple[str, ...]] = {"sem_seg": ()} if has_semantic_head(cfg) else {}
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    types = (architecture,) if isinstance(architecture, type) else ()
    if kind == SEMANTIC or any(issubclass(each, SemanticSegmentor) for each in types):
        return semantic
    if kind == "classification":
        return {"classification": _metrics("classification")}
    if kind != "lvis":  # Detectron2's evaluators return metrics that are unknown here
        return None
    if any(issubclass(each, ProposalNetwork) for each in types):
        return {"box_proposals": ()}
    if not read_annotation_file(name).ground_truth:
        return semantic
    metrics = () if cfg.TEST.LVIS_METRICS else _metrics("detection")
    return dict.fromkeys(("bbox", "segm")[: 1 + bool(cfg.MODEL.MASK_ON)], metrics) | semantic


def _metrics(task: str) -> tuple[str, ...]:
    built_in, names = _REGISTERED[task]
    always = {name for name, metric in METRIC_REGISTRY[task].items() if not metric.optional}
    return names if always <= built_in else ()
