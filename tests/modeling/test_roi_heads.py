"""Test that ROI heads in a detector train and predict, also with unusual batches."""

import pickle

import numpy as np
import pytest
import torch
from detectron2.engine.train_loop import TrainerBase  # noqa: F401 (registers what build_model needs)
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling import NormedLinear, NormedMaskHead, SeesawBoxPredictor
from tests.modeling.tiny import CASCADE, NUM_CLASSES, SIZE, tiny_batch, tiny_config

HEADS = {"mask": (), "cascade": CASCADE}
LOSSES = {
    "seesaw": (),
    "seesaw_class": ("MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "class"),
    "ce": ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss"),
    "ce_objectness": (
        *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss"),
        *("MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "objectness"),
    ),
    "pcb": ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance"),
    "linear": ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"),
    "normed_mask": ("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"),
}


def step(model, batch):
    """Run a training step with gradients. Return the losses."""
    model.train()
    with EventStorage():
        losses = model(batch)
        sum(losses.values()).backward()
    return losses


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("loss", LOSSES)
def test_trains_and_predicts(head, loss):
    torch.manual_seed(0)
    model = build_model(tiny_config(*HEADS[head], *LOSSES[loss]))
    losses = step(model, tiny_batch())
    assert all(torch.isfinite(value) for value in losses.values())
    assert any(name.startswith("loss_cls") for name in losses)
    unused = [name for name, p in model.named_parameters() if p.grad is None and "predictor.bias" not in name]
    assert not unused
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model.eval()
    with torch.no_grad():
        (output,) = model(tiny_batch((0,)))
    instances = output["instances"]
    assert instances.pred_classes.numel() == 0 or instances.pred_classes.max() < NUM_CLASSES
    assert ((instances.scores >= 0) & (instances.scores <= 1)).all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("mask", ["MaskRCNNConvUpsampleHead", "SelectiveMaskHead", "NormedMaskHead"])
@pytest.mark.parametrize("objects", [(0, 0), (0, 2), (0,)])
def test_images_without_objects_train(head, mask, objects):
    model = build_model(tiny_config(*HEADS[head], "MODEL.ROI_MASK_HEAD.NAME", mask))
    losses = step(model, tiny_batch(objects))
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_zero_proposals_train():
    model = build_model(
        tiny_config("MODEL.RPN.POST_NMS_TOPK_TRAIN", "0", "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", "False")
    )
    losses = step(model, tiny_batch((0, 1)))
    assert losses["loss_cls_classes"] == 0
    assert all(torch.isfinite(value) for value in losses.values())


def test_defaults_are_the_papers():
    """Test that a Detectron2 config in which only the name of the head changes has the paper's settings."""
    model = build_model(tiny_config())
    predictor = model.roi_heads.box_predictor
    assert isinstance(predictor, SeesawBoxPredictor)
    assert isinstance(predictor.cls_loss, SeesawLoss)
    assert (predictor.cls_loss.p, predictor.cls_loss.q, predictor.cls_loss.eps) == (0.8, 2.0, 0.01)
    assert isinstance(predictor.cls_score, NormedLinear)
    assert predictor.cls_score.temperature == 20
    assert predictor.cls_score.out_features == NUM_CLASSES + 2


def test_every_cascade_stage_counts_for_itself():
    model = build_model(tiny_config(*CASCADE))
    losses = step(model, tiny_batch((3, 3)))
    assert {f"loss_cls_classes_stage{k}" for k in range(3)} <= set(losses)
    counts = [predictor.cls_loss.class_counts for predictor in model.roi_heads.box_predictor]
    assert len({id(c) for c in counts}) == 3
    assert all(c.sum() > 0 for c in counts)


def test_cascade_refuses_class_specific_boxes():
    with pytest.raises(ConfigError, match=r"ROI_BOX_HEAD\.CLS_AGNOSTIC_BBOX_REG.*expected True.*found False"):
        build_model(tiny_config(*CASCADE, "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False"))


def probe(loss_weight=1.0, frequency_groups=None, loss=None):
    """Return a predictor, and the losses and logged values of a training step with it."""
    torch.manual_seed(0)
    shape, transform = ShapeSpec(channels=6), Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0))
    predictor = SeesawBoxPredictor(
        shape,
        box2box_transform=transform,
        num_classes=NUM_CLASSES,
        cls_loss=loss or SeesawLoss(NUM_CLASSES),
        loss_weight=loss_weight,
        frequency_groups=frequency_groups,
    )
    proposals = Instances((SIZE, SIZE))
    proposals.proposal_boxes = proposals.gt_boxes = Boxes(torch.tensor([[2.0, 2.0, 20.0, 30.0]]).repeat(4, 1))
    proposals.gt_classes = torch.tensor([0, 1, 6, NUM_CLASSES])
    with EventStorage() as storage:
        for _ in range(2):
            losses = predictor.losses(predictor(torch.randn(4, 6)), [proposals])
    return losses, set(storage.latest())


def test_loss_weights_scale_each_loss_of_the_classifier():
    plain, _ = probe()
    assert {"loss_cls_classes", "loss_cls_objectness", "loss_box_reg"} == set(plain)
    cases = [
        ({"loss_cls": 3.0}, (3.0, 3.0, 1.0)),
        ({"loss_cls": 3.0, "loss_cls_objectness": 0.5}, (3.0, 0.5, 1.0)),
        ({"loss_cls_classes": 2.0, "loss_box_reg": 0.25}, (2.0, 1.0, 0.25)),
    ]
    for weights, factors in cases:
        weighted, _ = probe(weights)
        for name, factor in zip(("loss_cls_classes", "loss_cls_objectness", "loss_box_reg"), factors, strict=True):
            if name == "loss_box_reg":  # boxes equal the ground truth, so that the loss depends only on the deltas
                assert plain[name] > 0
            torch.testing.assert_close(weighted[name], plain[name] * factor, msg=name)


def test_accuracies_are_logged_and_those_of_groups_where_they_are_known(caplog):
    everything = {"cls_accuracy", "fg_cls_accuracy", "false_negative", "objectness_accuracy", "class_accuracy"}
    groups = {"class_accuracy_rare", "class_accuracy_common", "class_accuracy_frequent"}
    found = probe(frequency_groups=lambda: np.array([0, 1, 0, 0, 0, 0, 2]))[1]
    assert {f"fast_rcnn/{name}" for name in everything | groups} == found
    assert {f"fast_rcnn/{name}" for name in everything} == probe()[1]
    assert not caplog.records
    for length in (NUM_CLASSES - 2, NUM_CLASSES + 1):
        caplog.clear()
        assert {f"fast_rcnn/{name}" for name in everything} == probe(frequency_groups=lambda n=length: np.zeros(n))[1]
        assert len(caplog.records) == 1


@pytest.mark.parametrize("head", ["mask", "cascade", "iterative"])
def test_a_model_can_be_pickled(head):
    overrides = {**HEADS, "iterative": ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads")}[head]
    model = build_model(tiny_config(*overrides))
    copy = pickle.loads(pickle.dumps(model))
    for name, value in copy.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert all(torch.isfinite(value) for value in step(copy, tiny_batch()).values())


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["USE_SIGMOID_CE", "USE_FED_LOSS"])
def test_losses_of_detectron2s_own_keys_are_refused(head, name):
    cfg = tiny_config(*HEADS[head])
    cfg.defrost()
    cfg.MODEL.ROI_BOX_HEAD[name] = True  # v0.6 does not have the keys
    with pytest.raises(ConfigError, match=rf"MODEL\.ROI_BOX_HEAD\.{name}: expected False .*CLS_LOSS\.NAME"):
        build_model(cfg)
    cfg.MODEL.ROI_BOX_HEAD[name] = False
    build_model(cfg)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME",
            "Cosine",
            "Linear, LWSLinear, found 'Cosine'",
        ),
        ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE", 0.0, "number > 0, found 0.0"),
        ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE", float("inf"), "number > 0, found inf"),
        ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "SeesawLos", "SeesawLoss"),
        ("MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "objectnes", "objectness"),
        ("MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.P", -1.0, ">= 0"),
        ("MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.Q", -1.0, ">= 0"),
    ],
)
def test_bad_head_configs_name_their_key(key, value, message):
    with pytest.raises(ConfigError) as error:
        build_model(tiny_config(key, value))
    assert key in str(error.value)
    assert message in str(error.value)


def test_bad_mask_temperature_names_its_key():
    with pytest.raises(ConfigError, match=r"MODEL\.ROI_MASK_HEAD\.TEMPERATURE: expected .*number > 0, found -1"):
        build_model(tiny_config("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead", "MODEL.ROI_MASK_HEAD.TEMPERATURE", -1.0))


def test_mask_head_from_config_is_normalized():
    model = build_model(tiny_config("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"))
    assert isinstance(model.roi_heads.mask_head, NormedMaskHead)
    assert model.roi_heads.mask_head.predictor.temperature == 20
