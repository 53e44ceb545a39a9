"""Test IterativeROIHeads with other numbers of iterations, loss weights and boxes."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import CrossEntropyLoss, PairwiseClassBalance
from tests.modeling.test_iterative_heads import ITERATIVE, LOSSES, PCB, explicit_heads
from tests.modeling.test_roi_heads import step
from tests.modeling.tiny import NUM_CLASSES, tiny_batch, tiny_config

ONE = ("MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS", "1", "MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS", "[1.0]")


@pytest.mark.parametrize("loss", LOSSES)
def test_one_iteration_is_the_plain_head(loss):
    results = []
    for head in ((), (*ITERATIVE, *ONE)):
        torch.manual_seed(0)
        model = build_model(tiny_config(*head, *LOSSES[loss]))
        torch.manual_seed(1)
        results.append(step(model, tiny_batch()))
    assert results[0].keys() == results[1].keys()
    for key, value in results[0].items():
        assert torch.equal(value, results[1][key])


def test_a_step_is_one_step_for_the_loss_and_counts_every_iteration():
    model = build_model(tiny_config(*ITERATIVE, *PCB))
    loss = model.roi_heads.box_predictor.cls_loss
    step(model, tiny_batch())
    step(model, tiny_batch())
    assert loss.steps == 2
    assert torch.equal(loss.seen_counts, loss.loss.class_counts[:-1])
    assert loss.seen_counts.sum() % 3 == 0
    assert loss.seen_counts.sum() > 0


def test_weights_of_the_iterations():
    """Test the loss weights: a loss of 1 in every iteration gives 0.2 + 0.2 + 0.6."""

    class One(CrossEntropyLoss):
        def compute(self, logits, labels, weights, avg_factor):
            return {"loss_cls": logits.sum() * 0 + 1}

    torch.manual_seed(0)
    heads = explicit_heads(torch.rand(2, 3, 5, 4), 6, One(6), loss_weights=(1.0, 2.0, 5.0))
    proposals = Instances((9, 9), proposal_boxes=Boxes(torch.tensor([[0.0, 0.0, 4.0, 4.0]] * 2)))
    proposals.gt_classes, proposals.gt_boxes = torch.tensor([0, 6]), proposals.proposal_boxes
    with EventStorage():
        losses = heads._forward_box({"p2": None}, [proposals])
    assert losses["loss_cls"] == 8


def test_training_on_predicted_boxes():
    model = build_model(tiny_config(*ITERATIVE, "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", "True"))
    assert all(torch.isfinite(value) for value in step(model, tiny_batch()).values())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "True", "found True"),
        ("MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS", "0", "expected an integer >= 1, found 0"),
        ("MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS", "[0.5, 0.5]", "expected 3 "),
        ("MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS", "[0.5, 0.5, -1.0]", "expected 3 numbers >= 0"),
        ("MODEL.ROI_ITERATIVE_HEAD.NUM_FC", "0", "expected an integer >= 1, found 0"),
        ("MODEL.ROI_ITERATIVE_HEAD.FC_DIM", "-1", "expected an integer >= 1, found -1"),
    ],
)
def test_wrong_configs_name_their_key(key, value, message):
    with pytest.raises(ConfigError) as error:
        build_model(tiny_config(*ITERATIVE, key, value))
    assert key in str(error.value)
    assert message in str(error.value)


def test_class_agnostic_boxes_are_refused_from_arguments_too():
    with pytest.raises(ValueError, match=r"box_predictor: expected .* 6 classes, found 4"):
        explicit_heads(torch.rand(2, 3, 5, 5), 6, CrossEntropyLoss(6), predictor={"cls_agnostic_bbox_reg": True})


def test_layer_norm_only_where_it_is_asked_for():
    for asked in (False, True):
        model = build_model(tiny_config(*ITERATIVE, "MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM", str(asked)))
        update = model.roi_heads.feature_update
        assert any(isinstance(layer, nn.LayerNorm) for layer in update.category) == asked
        assert not any(isinstance(layer, nn.LayerNorm) for layer in update.location)
        assert update.category[-1].out_features == 8  # FPN channels of the tiny model
        assert update.location[-1].out_features == 7 * 7
        assert update.location[0].in_features == 4 * NUM_CLASSES


def test_defaults_are_the_published_ones():
    model = build_model(tiny_config(*ITERATIVE, *PCB))
    heads, loss = model.roi_heads, model.roi_heads.box_predictor.cls_loss
    assert (heads.num_iterations, heads.loss_weights) == (3, (0.2, 0.2, 0.6))
    assert [layer.in_features for layer in heads.feature_update.category[::2]] == [NUM_CLASSES + 2, 512]
    assert isinstance(loss, PairwiseClassBalance)
    assert (loss.alpha, loss.momentum, type(loss.loss).__name__) == (0.05, 0.99, "SeesawLoss")
