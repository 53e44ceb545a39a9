"""Test that frozen parameters and statistics do not change, and that all others change."""

import copy
import pickle

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.modeling import build_model
from detectron2.solver import build_optimizer
from detectron2.utils.events import EventStorage
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import freeze
from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config

CLASSIFIER = ["roi_heads.box_predictor*.cls_score"]


def tiny_model(*overrides):
    torch.manual_seed(0)
    cfg = tiny_config(*overrides)
    return cfg, build_model(cfg)


def changed(model, before) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def steps(cfg, model, count=2):
    """Run training steps. Return the names of the parameters and buffers that changed."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = build_optimizer(cfg, model)
    model.train()
    for step in range(count):
        with EventStorage(step):
            losses = model(tiny_batch(seed=step))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    return changed(model, before)


@pytest.mark.parametrize("overrides", [(), CASCADE], ids=["mask", "cascade"])
def test_only_the_classifier_and_the_counts_change(overrides):
    cfg, model = tiny_model(*overrides)
    freeze(model, ["*"], CLASSIFIER)
    stages = ["0.", "1.", "2."] if overrides else [""]
    expected = {"cls_score.weight", "cls_score.bias", "cls_loss.class_counts"}
    assert steps(cfg, model) == {f"roi_heads.box_predictor.{stage}{name}" for stage in stages for name in expected}
    assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)


def test_without_freezing_everything_changes_and_the_statistics_too():
    """Test that without freezing, training changes all parameters and statistics."""
    cfg, model = tiny_model()
    names = steps(cfg, freeze(model, []))
    assert "backbone.bottom_up.stem.conv1.norm.running_mean" in names
    assert "backbone.bottom_up.stem.conv1.weight" in names
    assert "roi_heads.box_head.fc1.weight" in names


def test_train_does_not_thaw():
    _, model = tiny_model()
    freeze(model, ["backbone"])
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    for current in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model.backbone))):
        for mode in (True, False, True):
            current.train(mode)
            held = [m for m in current.modules() if isinstance(m, nn.BatchNorm2d)]
            assert len(held) == len(norms) > 0
            assert not any(m.training for m in held)
    # Heads return losses in training mode and predictions in evaluation mode.
    assert model.roi_heads.training
    assert model.proposal_generator.training
    model.eval()
    assert not model.roi_heads.training
    assert not model.roi_heads.box_predictor.cls_loss.training


def test_a_part_can_be_frozen():
    cfg, model = tiny_model()
    freeze(model, ["backbone.bottom_up", "*.rpn_head"])
    names = steps(cfg, model)
    assert not [n for n in names if n.startswith(("backbone.bottom_up", "proposal_generator"))]
    assert "backbone.fpn_output2.weight" in names
    assert "roi_heads.mask_head.predictor.weight" in names


def test_a_frozen_layer_by_its_parameters_and_dropout():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2))
    freeze(model, ["0", "1.weight", "1.bias", "3.bias"])
    model.train()
    assert [module.training for module in model] == [False, False, True, True]
    freeze(model, ["*"], ["3.weight"])
    model.train()
    assert [module.training for module in model] == [False, False, False, True]
    x = torch.randn(8, 3)
    assert torch.equal(model(x), model(x))


def test_the_optimizer_holds_what_is_trained():
    cfg, model = tiny_model()
    freeze(model, ["*"], CLASSIFIER)
    held = [p for group in build_optimizer(cfg, model).param_groups for p in group["params"]]
    classifier = model.roi_heads.box_predictor.cls_score
    assert {id(p) for p in held} == {id(classifier.weight), id(classifier.bias)}


@pytest.mark.parametrize(
    ("names", "exceptions", "message"),
    [
        (["*"], [], "MODEL.FREEZE: expected .* found 0 of "),
        (["*"], ["roi_heads.box_predictor.cls_scores"], r"MODEL\.FREEZE\.EXCEPT\[0\].*cls_scores.*cls_score"),
        (["backbon"], [], r"MODEL\.FREEZE\.NAMES\[0\].*'backbon'.*backbone"),
        ([], CLASSIFIER, r"MODEL\.FREEZE\.NAMES: .*MODEL\.FREEZE\.EXCEPT"),
    ],
)
def test_mistakes(names, exceptions, message):
    _, model = tiny_model()
    before = [p.requires_grad for p in model.parameters()]
    with pytest.raises(ConfigError, match=message):
        freeze(model, names, exceptions)
    assert names == ["*"] or before == [p.requires_grad for p in model.parameters()]


def test_what_is_frozen_already_stays_frozen():
    cfg, model = tiny_model("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "LWSLinear")
    freeze(model, ["*"], CLASSIFIER)
    names = steps(cfg, model)
    assert names == {
        "roi_heads.box_predictor.cls_score.weight_scaler",
        "roi_heads.box_predictor.cls_loss.class_counts",
    }


def _train_on_half(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    cfg, model = tiny_model()
    freeze(model, ["*"], CLASSIFIER)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapped = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = build_optimizer(cfg, wrapped)
    for step in range(2):
        with EventStorage(step):
            losses = wrapped(tiny_batch(seed=2 * step + rank))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    torch.save((model.state_dict(), changed(model, before)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_the_same_classifier(tmp_path):
    mp.spawn(_train_on_half, (tmp_path,), nprocs=2)
    (one, names), (two, others) = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert names == others
    assert names == {
        f"roi_heads.box_predictor.{name}" for name in ("cls_score.weight", "cls_score.bias", "cls_loss.class_counts")
    }
    assert all(torch.equal(value, two[name]) for name, value in one.items())
