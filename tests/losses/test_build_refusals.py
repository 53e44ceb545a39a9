"""Test the errors of build_loss for invalid configs."""

import inspect

import pytest
import torch

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import (
    LOSS_REGISTRY,
    build_loss,
)
from seesaw_d2.losses.build import backgrounds_for
from tests.losses.test_build import KEY, make_cfg, statistics

_WITH_STATISTICS = [name for name, loss in LOSS_REGISTRY if loss.statistics_keys and backgrounds_for(loss, True)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"NAME": "SeasawLoss"},
            f'{KEY}.NAME: expected one of .*"CrossEntropyLoss".*"SeesawLoss".*, found \'SeasawLoss\'. '
            'Did you mean "SeesawLoss"',
        ),
        (
            {"BACKGROUND": "objectnes"},
            f'{KEY}.BACKGROUND: expected one of "auto", "objectness", "class" .*found \'objectnes\'. '
            'Did you mean "objectness"',
        ),
        ({"BACKGROUND": "none"}, f'{KEY}.BACKGROUND: expected one of "auto", "objectness", "class" .*found \'none\''),
        (
            {"NAME": "EqualizationLoss", "BACKGROUND": "class"},
            f'{KEY}.BACKGROUND: expected one of "auto", "implicit" .*EqualizationLoss in a detector, found \'class\'',
        ),
        ({"NAME": "EqualizationLoss", "EQL_LAMBDA": -1.0}, f"{KEY}.EQL.LAMBDA: expected a number >= 0, found -1.0"),
        ({"NAME": "FocalLoss", "FOCAL_PRIOR": 1.0}, rf"{KEY}.FOCAL.PRIOR: expected a number in \(0, 1\), found 1.0"),
        ({"NAME": "FocalLoss", "FOCAL_ALPHA": 1.0}, rf"{KEY}.FOCAL.ALPHA: expected a number in \(0, 1\), found 1.0"),
        ({"NAME": "EqualizationLossV2", "EQL_V2_GAMMA": 0.0}, f"{KEY}.EQL_V2.GAMMA: expected a number > 0, found 0.0"),
        (
            {"NAME": "BalancedGroupSoftmaxLoss", "BAGS_BINS": [10, 5]},
            rf"{KEY}.BAGS.BINS: expected increasing numbers > 0, found \[10, 5\]",
        ),
        (
            {"NAME": "ClassBalancedFocalLoss", "CLASS_BALANCED_FOCAL_BETA": 1.0},
            rf"{KEY}.CLASS_BALANCED_FOCAL.BETA: expected a number in \[0, 1\), found 1.0",
        ),
        (
            {"NAME": "FederatedLoss", "FEDERATED_NUM_SAMPLED": 0},
            f"{KEY}.FEDERATED.NUM_SAMPLED: expected an integer >= 1, found 0",
        ),
        (
            {"NAME": "PairwiseClassBalance", "PCB_LOSS": "SeasawLoss"},
            f'{KEY}.PCB.LOSS: expected one of "CrossEntropyLoss", .*found \'SeasawLoss\'. Did you mean "SeesawLoss"',
        ),
        (
            {"NAME": "PairwiseClassBalance", "PCB_LOSS": "PairwiseClassBalance"},
            f'{KEY}.PCB.LOSS: expected one of "CrossEntropyLoss", "EqualizationLossV2", "SeesawLoss" .*found',
        ),
        (
            {"NAME": "PairwiseClassBalance", "PCB_LOSS": "EqualizationLossV2", "BACKGROUND": "objectness"},
            f'{KEY}.BACKGROUND: expected one of "auto", "class" .*EqualizationLossV2 in a detector',
        ),
        ({"NAME": "PairwiseClassBalance", "SEESAW_Q": -1.0}, f"{KEY}.SEESAW.Q: expected a number >= 0, found -1.0"),
        (
            {"NAME": "PairwiseClassBalance", "PCB_MAX_MATRIX_MB": 1e-6},
            rf"{KEY}.PCB.MAX_MATRIX_MB: expected .*, found 1e-06.* 4 x 4 ",
        ),
        ({"NAME": "PairwiseClassBalance", "PCB_ALPHA": 2.0}, rf"{KEY}.PCB.ALPHA: expected .* \[0, 1\], found 2.0"),
        ({"SEESAW_P": -1.0}, f"{KEY}.SEESAW.P: expected a number >= 0, found -1.0"),
        ({"SEESAW_Q": "x"}, f"{KEY}.SEESAW.Q: expected a number >= 0, found 'x'"),
        ({"SEESAW_EPS": 0.0}, rf"{KEY}.SEESAW.EPS: expected a number in \(0, 1\], found 0.0"),
        (
            {"SEESAW_CLASS_COUNTS": "offline"},
            f'{KEY}.SEESAW.CLASS_COUNTS: expected "online", "dataset" or the path of .*, found \'offline\'',
        ),
        (
            {"SEESAW_CLASS_COUNTS": "dataset"},
            f"{KEY}.SEESAW.CLASS_COUNTS: .*, found 'dataset'",
        ),
    ],
)
def test_wrong_values_name_the_key(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_loss(make_cfg(**changes), 4)


def test_no_suggestion_where_nothing_is_near():
    with pytest.raises(ConfigError) as caught:
        build_loss(make_cfg(NAME="xyz"), 4)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"SEESAW_CLASS_COUNTS": "dataset"}, *({"NAME": name} for name in _WITH_STATISTICS)],
    ids=str,
)
@pytest.mark.parametrize("counts", [[1, 8, 2], [1, 8, 2, 4, 5]], ids=len)
def test_a_training_set_with_another_number_of_categories(changes, counts):
    with pytest.raises(ConfigError, match=rf"DATASETS.TRAIN: expected 4 .*found {len(counts)}.*ROI_HEADS.NUM_CLASSES"):
        build_loss(make_cfg(**changes), 4, statistics(counts))


@pytest.mark.parametrize("name", sorted(name for name, _ in LOSS_REGISTRY))
def test_config_keys_name_arguments_of_the_constructor(name):
    loss_class = LOSS_REGISTRY.get(name)
    assert set(loss_class.config_keys) <= set(inspect.signature(loss_class).parameters)


@pytest.mark.parametrize("item", [torch.nn.CrossEntropyLoss, lambda logits, labels: logits.sum()])
def test_only_losses_can_be_registered(item):
    with pytest.raises(TypeError, match=r"CLASSIFICATION_LOSS: .*ClassificationLoss"):
        LOSS_REGISTRY.register(item)
    assert item not in dict(LOSS_REGISTRY).values()
