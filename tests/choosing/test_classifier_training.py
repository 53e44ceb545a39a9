"""Test the training of classifiers on stored features, the candidates from the loss registry, and the rankings."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from seesaw_d2.choosing.classifier_training import Samples, logits_of, shortened, train_classifier
from seesaw_d2.choosing.loss_candidates import candidates_of
from seesaw_d2.choosing.loss_comparison import build_losses
from seesaw_d2.choosing.ranking import _CRITICAL_T, difference, rank
from seesaw_d2.losses import CrossEntropyLoss
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.report.loss_comparison_table import comparison_table
from tests.modeling.tiny import NUM_CLASSES, tiny_config

DATA = TrainingData(NUM_CLASSES, 1000, (10, 100), 800)


def samples(chosen=None):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, NUM_CLASSES + 1, 400)
    features = np.eye(NUM_CLASSES + 1)[labels] + 0.1 * generator.normal(size=(400, NUM_CLASSES + 1))
    return Samples(features.astype(np.float16), labels, np.arange(400) if chosen is None else chosen)


def build(candidate):
    return build_losses(candidate.config(tiny_config()), NUM_CLASSES, 1, detector=True)


def without_statistics(candidate):
    if LOSS_REGISTRY.get(candidate.loss).statistics_keys:
        return None
    return build(candidate)


def test_every_sample_once_in_an_epoch_and_no_other():
    chosen = np.arange(0, 400, 2)
    stream = samples(chosen).batches(50, seed=3)
    rows = [next(stream) for _ in range(8)]  # two epochs
    known = {each.tobytes(): index for index, each in enumerate(samples().features.astype(np.float32))}
    found = [known[row.numpy().tobytes()] for features, _ in rows for row in features]
    assert sorted(found[:200]) == sorted(found[200:]) == chosen.tolist()
    assert found[:200] != found[200:]
    assert torch.cat([labels for _, labels in rows]).tolist() == samples().labels[found].tolist()


@pytest.mark.parametrize("name", ["Linear", "NormedLinear"])
def test_a_classifier_learns_and_depends_only_on_the_seed(name):
    cfg = tiny_config("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", name, "SOLVER.MAX_ITER", 60, "SOLVER.BASE_LR", 0.5)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(found))  # the global seed must not affect the result
        found.append(train_classifier(cfg, CrossEntropyLoss(NUM_CLASSES), samples(), 64, seed))
    assert torch.equal(found[0].weight, found[1].weight)
    assert not torch.equal(found[0].weight, found[2].weight)
    predicted = logits_of(found[0], samples().features, rows=100).argmax(axis=1)
    assert (predicted == samples().labels).mean() > 0.95


def test_a_shorter_schedule():
    cfg = tiny_config("SOLVER.MAX_ITER", 800, "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_ITER", 560)
    found = shortened(cfg, 400)
    assert (found.SOLVER.MAX_ITER, found.SOLVER.STEPS, found.SOLVER.WARMUP_ITERS) == (400, (280, 360), 50)
    assert found.MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_ITER == 280
    assert cfg.SOLVER.MAX_ITER == 800


def test_every_loss_of_the_registry_is_a_candidate():
    found, refused = candidates_of(DATA, True, without_statistics)
    fits = {name for name, loss in LOSS_REGISTRY if set(loss.backgrounds) != {"none"}}
    assert {each.loss for each in found} == fits
    assert not refused
    assert len({each.name for each in found}) == len(found)
    seesaw = [each.overrides() for each in found if each.method == ("SeesawLoss", "Linear")]
    node = "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW."
    assert {(each[f"{node}P"], each[f"{node}Q"]) for each in seesaw} >= {(0.8, 0.0), (0.8, 2.0), (1.2, 0.0)}


def test_a_new_loss_is_a_candidate():
    class NewLoss(CrossEntropyLoss):
        backgrounds = ("class",)

        @classmethod
        def compared_values(cls, data):
            return {"strength": (data.rare_share, 1.0)}

        config_keys = {"strength": "SEESAW.P"}  # noqa: RUF012

    LOSS_REGISTRY.register(NewLoss)
    try:
        found, _ = candidates_of(DATA, True, lambda each: None, ["NewLoss"])
    finally:
        LOSS_REGISTRY._obj_map.pop("NewLoss")
    assert [each.values for each in found if each.classifier == "Linear"] == [{"SEESAW.P": 0.0105}, {"SEESAW.P": 1.0}]


def test_a_loss_that_cannot_be_built_is_left_out_with_the_reason():
    cfg = tiny_config("MODEL.ROI_BOX_HEAD.CLS_LOSS.FOCAL.PRIOR", 3.0)
    found, refused = candidates_of(
        DATA, True, lambda each: build_losses(each.config(cfg), NUM_CLASSES, 1, True), ["FocalLoss", "CrossEntropyLoss"]
    )
    assert {each.loss for each in found} == {"CrossEntropyLoss"}
    assert all("FOCAL.PRIOR" in reason for reason in refused.values())
    assert refused


def test_a_ranking_and_its_certainty():
    found, _ = candidates_of(DATA, True, lambda each: None, ["FocalLoss", "CrossEntropyLoss"])
    values = {each: np.full(3, float(number)) for number, each in enumerate(found)}
    ranking = rank(values)
    assert [entry.mean for entry in ranking] == sorted((entry.mean for entry in ranking), reverse=True)
    assert len(ranking) == len({each.method for each in found})
    assert ranking[0].mean == len(found) - 1
    clear = difference(np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.1, 2.9]))
    assert (clear.wins, clear.clear) == (3, True)
    assert clear.mean == pytest.approx(2.0)
    assert clear.deviation == pytest.approx(0.1)
    assert not difference(np.array([3.0, 4.0, 2.0]), np.array([1.0, 2.0, 2.9])).clear
    assert not difference(np.array([3.0]), np.array([1.0])).clear


def test_seeds_without_a_value_are_told_and_do_not_count():
    """Test the table for a metric that is undefined for seed 1, whose held-out images have no object of a group."""
    first, second = np.array([3.0, np.nan, 5.0]), np.array([1.0, np.nan, 2.9])
    found = difference(first, second)
    assert (found.mean, found.wins, found.count) == (pytest.approx(2.05), 2, 2)
    undefined = difference(first * np.nan, second)
    assert np.isnan(undefined.mean)
    assert not undefined.clear
    rows = [
        {
            "name": name,
            "metrics": {"APr": [None if np.isnan(v) else v for v in values]},
            "calibrated": None,
            "config": {},
        }
        for name, values in (("A", first), ("B", second))
    ]
    result = {"options": {"seeds": 3}, "metric": "APr", "ranking": rows, "test": rows[:1], "output": "x", "refused": {}}
    for compared in (found, undefined):
        result["difference"] = {**dataclasses.asdict(compared), "clear": compared.clear}
        lines = comparison_table(result).splitlines()
        assert lines[2].split() == ["A", "4.0", "±", "1.4"]
        assert "APr is undefined for 1 of 3 seeds" in lines[4]
        assert ("positive for 2 of 2 seeds" in lines[6]) == (compared is found)
        assert ("undefined for all seeds" in lines[6]) == (compared is undefined)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_clear_difference_passes_a_t_test(count):
    spread = np.linspace(-1, 1, count)
    for p_value in (0.049, 0.051):
        values = spread + stats.t.ppf(1 - p_value / 2, count - 1) * stats.sem(spread)
        assert (values > 0).all()
        assert stats.ttest_1samp(values, 0).pvalue == pytest.approx(p_value)
        assert difference(values, np.zeros(count)).clear == (p_value < 0.05)
    np.testing.assert_allclose(_CRITICAL_T, stats.t.ppf(0.975, range(1, 11)), atol=5e-4)
