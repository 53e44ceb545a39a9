"""The heads inside a whole detector: they train and predict, on batches as they come."""

import pytest
import torch
from detectron2.engine.train_loop import TrainerBase  # noqa: F401 (registers what build_model needs)
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling import NormedLinear, NormedMaskHead, SeesawBoxPredictor
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config

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
    """One training step: the losses, after their gradients were computed."""
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
@pytest.mark.parametrize("mask", ["MaskRCNNConvUpsampleHead", "NormedMaskHead"])
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
    """A Detectron2 config with nothing but the head's name is a Seesaw config."""
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
    with pytest.raises(ConfigError, match=r"ROI_BOX_HEAD\.CLS_AGNOSTIC_BBOX_REG.*expected True, found False"):
        build_model(tiny_config(*CASCADE, "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME",
            "Cosine",
            "Linear, LWSLinear, found 'Cosine'",
        ),
        ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE", 0.0, "expected a number > 0, found 0.0"),
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
    with pytest.raises(ConfigError, match=r"MODEL\.ROI_MASK_HEAD\.TEMPERATURE: expected a number > 0, found -1"):
        build_model(tiny_config("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead", "MODEL.ROI_MASK_HEAD.TEMPERATURE", -1.0))


def test_mask_head_from_config_is_normalized():
    model = build_model(tiny_config("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"))
    assert isinstance(model.roi_heads.mask_head, NormedMaskHead)
    assert model.roi_heads.mask_head.predictor.temperature == 20
