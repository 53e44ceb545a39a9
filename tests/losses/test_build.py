"""Test that build_loss builds losses from config values."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.losses import (
    LOSS_REGISTRY,
    BalancedGroupSoftmaxLoss,
    ClassBalancedFocalLoss,
    CrossEntropyLoss,
    EqualizationLoss,
    EqualizationLossV2,
    FederatedLoss,
    FocalLoss,
    PairwiseClassBalance,
    SeesawLoss,
    build_loss,
)
from seesaw_d2.train import load_config

KEY = "MODEL.ROI_BOX_HEAD.CLS_LOSS"


def make_cfg(**changes):
    """Return the default config with changes. SEESAW_P stands for CLS_LOSS.SEESAW.P."""
    cfg = load_config()
    node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS
    for key, value in changes.items():
        inner = max((name for name in node if key.startswith(f"{name}_")), key=len, default=None)
        if inner is None:
            node[key] = value
        else:
            node[inner][key.removeprefix(f"{inner}_")] = value
    return cfg


def statistics(counts, images=10):
    counts = np.array(counts, dtype=np.int64)
    known = {"instance_count": 2 * counts, "image_count": counts, "num_images": images}
    return lambda: SimpleNamespace(**known, num_annotated_images=images)


def never():
    raise AssertionError("the statistics are not needed")


def test_seesaw_gets_every_value():
    cfg = make_cfg(BACKGROUND="class", SEESAW_P=0.5, SEESAW_Q=1.0, SEESAW_EPS=0.1)
    loss = build_loss(cfg, 4, never)
    assert isinstance(loss, SeesawLoss)
    assert (loss.num_classes, loss.background, loss.p, loss.q, loss.eps) == (4, "class", 0.5, 1.0, 0.1)
    assert loss.online
    assert loss.sync


def test_cross_entropy():
    loss = build_loss(make_cfg(NAME="CrossEntropyLoss", BACKGROUND="objectness"), 4)
    assert type(loss) is CrossEntropyLoss
    assert loss.background == "objectness"


@pytest.mark.parametrize("name", sorted(name for name, _ in LOSS_REGISTRY))
def test_the_name_alone_is_a_config(name):
    """Test that a loss can be built from its name and statistics, with the default BACKGROUND "auto"."""
    default = LOSS_REGISTRY.get(name).backgrounds[0]
    loss = build_loss(make_cfg(NAME=name), 3, statistics([1, 8, 2]), has_background=default != "none")
    assert type(loss).__name__ == name
    assert loss.background == default


CLASSIFIERS = sorted(name for name, loss in LOSS_REGISTRY if "none" in loss.backgrounds)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_an_image_classifier_has_no_background(name):
    loss = build_loss(make_cfg(NAME=name), 3, statistics([1, 8, 2]), has_background=False)
    assert (loss.background, loss.num_logits) == ("none", 3)
    with pytest.raises(ConfigError, match=r"BACKGROUND: .*\w+ in an image classifier.*'class'"):
        build_loss(make_cfg(NAME=name, BACKGROUND="class"), 3, statistics([1, 8, 2]), has_background=False)


def test_each_kind_of_model_has_losses_of_its_own():
    with pytest.raises(ConfigError, match=r"NAME: .* a detector.* 'SoftmaxEqualizationLoss'"):
        build_loss(make_cfg(NAME="SoftmaxEqualizationLoss"), 3, statistics([1, 8, 2]))
    with pytest.raises(ConfigError, match=r"NAME: .* an image classifier.* 'BalancedGroupSoftmaxLoss'"):
        build_loss(make_cfg(NAME="BalancedGroupSoftmaxLoss"), 3, statistics([1, 8, 2]), has_background=False)


def test_the_others_get_every_value():
    eql = build_loss(make_cfg(NAME="EqualizationLoss", EQL_LAMBDA=0.5, EQL_PRIOR=0.1), 3, statistics([5, 8, 2]))
    assert isinstance(eql, EqualizationLoss)
    assert (eql.lambda_, eql.prior) == (0.5, 0.1)
    assert eql.tail.tolist() == [False, False, True]  # 5 of 10 images is not below 0.5
    changes = {"EQL_V2_GAMMA": 1.0, "EQL_V2_MU": 2.0, "EQL_V2_ALPHA": 3.0, "EQL_V2_PRIOR": 0.1}
    eqlv2 = build_loss(make_cfg(NAME="EqualizationLossV2", **changes), 3, never)
    assert isinstance(eqlv2, EqualizationLossV2)
    assert (eqlv2.gamma, eqlv2.mu, eqlv2.alpha, eqlv2.prior) == (1, 2, 3, 0.1)
    changes = {"BAGS_BINS": [4, 10], "BAGS_BETA": 2.0}
    bags = build_loss(make_cfg(NAME="BalancedGroupSoftmaxLoss", **changes), 3, statistics([1, 2, 5]))
    assert isinstance(bags, BalancedGroupSoftmaxLoss)
    assert (bags.bins, bags.beta, bags.group.tolist()) == ((4, 10), 2, [0, 1, 2])
    changes = {"FOCAL_GAMMA": 1.0, "FOCAL_ALPHA": 0.5, "FOCAL_PRIOR": 0.1}
    focal = build_loss(make_cfg(NAME="FocalLoss", **changes), 3, never)
    assert isinstance(focal, FocalLoss)
    assert (focal.gamma, focal.alpha, focal.prior) == (1, 0.5, 0.1)
    keys = ("GAMMA", "BETA", "PRIOR")
    changes = {f"CLASS_BALANCED_FOCAL_{key}": value for key, value in zip(keys, (1.0, 0.5, 0.1), strict=True)}
    balanced = build_loss(make_cfg(NAME="ClassBalancedFocalLoss", **changes), 3, statistics([1, 2, 5]))
    assert isinstance(balanced, ClassBalancedFocalLoss)
    assert (balanced.gamma, balanced.beta, balanced.alpha, balanced.prior) == (1, 0.5, None, 0.1)
    assert balanced.class_weights.argsort(descending=True).tolist() == [0, 1, 2]
    changes = {"FEDERATED_NUM_SAMPLED": 2, "FEDERATED_POWER": 2.0, "FEDERATED_PRIOR": 0.1}
    federated = build_loss(make_cfg(NAME="FederatedLoss", **changes), 3, statistics([1, 2, 0]))
    assert isinstance(federated, FederatedLoss)
    assert (federated.num_sampled, federated.power, federated.prior) == (2, 2, 0.1)
    assert federated.sampling_weights.tolist() == [1, 4, 0]


NEEDS_STATISTICS = ("EqualizationLoss", "BalancedGroupSoftmaxLoss", "ClassBalancedFocalLoss", "FederatedLoss")


@pytest.mark.parametrize(
    ("wrapped", "background", "width"),
    [
        ("SeesawLoss", "auto", 6),
        ("SeesawLoss", "class", 5),
        ("CrossEntropyLoss", "auto", 5),
        ("CrossEntropyLoss", "objectness", 6),
        ("EqualizationLossV2", "auto", 5),
    ],
)
def test_pcb_around_another_loss(wrapped, background, width):
    """Test that PCB reads its own keys and those of the wrapped loss, and uses the background of the wrapped loss."""
    changes = {"PCB_ALPHA": 0.3, "PCB_MOMENTUM": 0.5, "PCB_START_ITER": 7, "PCB_UNSEEN": "ignore", "SEESAW_P": 0.1}
    cfg = make_cfg(NAME="PairwiseClassBalance", PCB_LOSS=wrapped, BACKGROUND=background, EQL_V2_MU=0.4, **changes)
    loss = build_loss(cfg, 4, never)
    assert isinstance(loss, PairwiseClassBalance)
    assert (loss.alpha, loss.momentum, loss.start_iter, loss.unseen) == (0.3, 0.5, 7, "ignore")
    assert type(loss.loss).__name__ == wrapped
    assert loss.background == loss.loss.background
    assert loss.num_logits == width
    assert getattr(loss.loss, "p", 0.1) == 0.1
    assert getattr(loss.loss, "mu", 0.4) == 0.4


def unreadable():
    raise DataError("train.json: no such file")


@pytest.mark.parametrize("statistics", [None, unreadable])
@pytest.mark.parametrize("name", NEEDS_STATISTICS)
def test_without_the_training_data_a_model_predicts_and_does_not_train(name, statistics):
    loss = build_loss(make_cfg(NAME=name), 3, statistics)
    logits, labels = torch.zeros(2, loss.num_logits), torch.tensor([0, 3])
    with pytest.raises(ValueError, match=r"(image_frequency|_counts): expected .* found None"):
        loss(logits, labels)
    if name == "BalancedGroupSoftmaxLoss":  # the scores need the groups, which a checkpoint provides
        with pytest.raises(ValueError, match="instance_counts"):
            loss.probabilities(logits)
        loss.load_state_dict(BalancedGroupSoftmaxLoss(3, instance_counts=[1, 50, 5000]).state_dict())
    assert loss.probabilities(logits).shape == (2, 4)


@pytest.mark.parametrize("name", NEEDS_STATISTICS)
def test_statistics_of_other_categories_are_refused(name):
    with pytest.raises(ValueError, match=r"expected 4 .* found 3"):
        build_loss(make_cfg(NAME=name), 4, statistics([1, 8, 2]))


@pytest.mark.parametrize(("background", "last"), [("objectness", 16), ("class", 16)])
def test_counts_of_the_dataset(background, last):
    cfg = make_cfg(SEESAW_CLASS_COUNTS="dataset", BACKGROUND=background)
    loss = build_loss(cfg, 3, statistics([1, 8, 2]))
    assert not loss.online
    assert loss.class_counts.tolist() == [2, 16, 4, last]
