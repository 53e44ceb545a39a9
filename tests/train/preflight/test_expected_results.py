"""Test that TEST.EXPECTED_RESULTS and SOLVER.CHECKPOINT_BEST are checked before a training or an evaluation."""

import pytest
from detectron2.data import MetadataCatalog

from seesaw_d2.data import register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.metric_registry import METRIC_REGISTRY, Metric
from seesaw_d2.train.preflight.expected_results import check_best_metric, check_expected_results
from tests.data.toy import entry, make_cfg, toy_data, write

RIGHT = ["bbox", "AP", 38.5, 0.2]


@pytest.fixture
def cfg(tmp_path):
    name = f"expected_{tmp_path.name}"
    cfg = make_cfg(entry(name, write(tmp_path, toy_data()), tmp_path), test=[name], MODEL__MASK_ON=True)
    register_datasets(cfg)
    return cfg


def check(cfg, *items):
    cfg.TEST.EXPECTED_RESULTS = list(items)
    check_expected_results(cfg)


def test_items_of_the_right_shape(cfg):
    check(cfg)
    check(cfg, RIGHT, ("segm", "APr", 1, 0))
    cfg.TEST.LVIS_METRICS = ["fixed"]
    check(cfg, ["bbox", "AP_fixed", 1.0, 1.0])


@pytest.mark.parametrize(
    "item",
    [
        *("bbox", [], RIGHT[:3], [*RIGHT, 1], [1, "AP", 1.0, 0.1], ["bbox", None, 1.0, 0.1], ["bbox", "AP", "1", 0.1]),
        *(["bbox", "AP", 1.0, -0.1], ["bbox", "AP", float("nan"), 0.1], ["bbox", "AP", True, 0.1], 5, None),
        *(["box", "AP", 1.0, 0.1], ["bbox", "mAP", 1.0, 0.1], ["keypoints", "AP", 1.0, 0.1]),
        *(["sem_seg", "mIoU", 1.0, 0.1], ["classification", "overall", 1.0, 0.1]),
    ],
)
def test_an_item_that_would_fail_after_the_evaluation(cfg, item):
    with pytest.raises(ConfigError, match=r"^TEST\.EXPECTED_RESULTS: ") as error:
        check(cfg, RIGHT, item)
    assert str(item if not isinstance(item, list) or len(item) != 4 else item[0]) in str(error.value)


def test_masks_only_with_masks(cfg):
    cfg.MODEL.MASK_ON = False
    with pytest.raises(ConfigError, match=r"^TEST\.EXPECTED_RESULTS: .*'segm'"):
        check(cfg, ["segm", "AP", 1.0, 0.1])


@pytest.mark.parametrize("count", [0, 2])
def test_one_test_set(cfg, count):
    cfg.DATASETS.TEST = tuple(cfg.DATASETS.TEST) * count
    with pytest.raises(ConfigError, match=rf"^DATASETS\.TEST: .*TEST\.EXPECTED_RESULTS.* {count} "):
        check(cfg, RIGHT)


def test_classifiers(cfg, monkeypatch):
    cfg.DATASETS.TEST = [f"{cfg.DATASETS.TEST[0]}_labelled"]
    MetadataCatalog.get(cfg.DATASETS.TEST[0]).evaluator_type = "classification"
    check(cfg, ["classification", "overall", 90, 1], ["classification", "ECE", 2, 1])
    for item in (["classification", "overal", 90, 1], RIGHT):
        with pytest.raises(ConfigError, match=r"^TEST\.EXPECTED_RESULTS: "):
            check(cfg, item)
    monkeypatch.setitem(METRIC_REGISTRY["classification"], "own", Metric(lambda results: {"mine": 1.0}))
    check(cfg, ["classification", "mine", 1, 1])


def test_an_evaluator_of_detectron2_may_have_any_task(cfg):
    cfg.DATASETS.TEST = [f"{cfg.DATASETS.TEST[0]}_coco"]
    MetadataCatalog.get(cfg.DATASETS.TEST[0]).evaluator_type = "coco"
    check(cfg, ["keypoints", "AP", 1.0, 0.1])


def test_the_best_metric(cfg, monkeypatch):
    name, key = cfg.DATASETS.TEST[0], r"^SOLVER\.CHECKPOINT_BEST: "
    for best in ("", "bbox/AP", "segm/APr"):
        cfg.SOLVER.CHECKPOINT_BEST = best
        check_best_metric(cfg)
    cfg.DATASETS.TEST = [name, name]
    with pytest.raises(ConfigError, match=rf"{key}.*{name}/segm/APr.*'segm/APr'"):
        check_best_metric(cfg)
    cfg.SOLVER.CHECKPOINT_BEST = f"{name}/segm/APr"
    check_best_metric(cfg)
    cfg.DATASETS.TEST, cfg.SOLVER.CHECKPOINT_BEST = [name], "segm/APx"
    with pytest.raises(ConfigError, match=f"{key}.*'segm/APx'"):
        check_best_metric(cfg)
    monkeypatch.setitem(METRIC_REGISTRY["detection"], "own", Metric(lambda results: {"APx": 1.0}))
    check_best_metric(cfg)


def test_the_best_metric_of_a_classifier(cfg):
    cfg.DATASETS.TEST = [f"{cfg.DATASETS.TEST[0]}_labelled_best"]
    MetadataCatalog.get(cfg.DATASETS.TEST[0]).evaluator_type = "classification"
    cfg.SOLVER.CHECKPOINT_BEST = "classification/overall"
    check_best_metric(cfg)
    cfg.SOLVER.CHECKPOINT_BEST = "classification/overal"
    with pytest.raises(ConfigError, match=r"^SOLVER\.CHECKPOINT_BEST: .*classification/overall"):
        check_best_metric(cfg)
