"""Test SeesawPredictors in reimplemented heads of other projects: CenterNet2 and Detic."""

import runpy
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY, StandardROIHeads, build_model
from detectron2.modeling.roi_heads import CascadeROIHeads, FastRCNNOutputLayers, Res5ROIHeads
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import SeesawBoxPredictor, SeesawPredictors
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config

EXAMPLE = Path(__file__).parents[2] / "examples/centernet2_heads.py"


class OtherPredictor(FastRCNNOutputLayers):
    """Raise an error if this predictor is not replaced."""

    def losses(self, predictions, proposals):
        raise AssertionError("another project's losses")


class CustomCascadeROIHeads(CascadeROIHeads):
    """Reimplement CenterNet2's cascade: its own predictors, and scores √(P(j) proposal score) at test time."""

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        cls.mult_proposal_score = cfg.MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictors"] = [
            OtherPredictor(cfg, head.output_shape, box2box_transform=plain.box2box_transform)
            for head, plain in zip(ret["box_heads"], ret["box_predictors"], strict=True)
        ]
        return ret

    def scores(self, features, proposals):
        """Return the scores of each image, as CenterNet2 computes them, with the boxes."""
        given, found, boxes = [each.objectness_logits.sigmoid() for each in proposals], [], None
        sizes, features = [each.image_size for each in proposals], [features[name] for name in self.box_in_features]
        for stage, predictor in enumerate(self.box_predictor):
            if stage:
                proposals = self._create_proposals_from_boxes(boxes, sizes)
            predictions = self._run_stage(features, proposals, stage)
            boxes = predictor.predict_boxes(predictions, proposals)
            found.append(predictor.predict_probs(predictions, proposals))
        scores = [torch.stack(images).mean(dim=0) for images in zip(*found, strict=True)]
        if self.mult_proposal_score:
            scores = [(each * own[:, None]) ** 0.5 for each, own in zip(scores, given, strict=True)]
        return boxes, scores

    def _forward_box(self, features, proposals, targets=None):
        if self.training:
            return super()._forward_box(features, proposals, targets)
        limits = (0.0, 0.5, 5)
        boxes, scores = self.scores(features, proposals)
        return fast_rcnn_inference(boxes, scores, [each.image_size for each in proposals], *limits)[0]


class DeticLike(CustomCascadeROIHeads):
    """Reimplement Detic's call of its predictors, with or without a classifier of an open vocabulary."""

    classifier = None

    def _run_stage(self, features, proposals, stage):
        x = self.box_head[stage](self.box_pooler(features, [each.proposal_boxes for each in proposals]))
        return self.box_predictor[stage](x, classifier_info=(self.classifier, None, None))


class SingleROIHeads(StandardROIHeads):
    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = OtherPredictor(cfg, ret["box_head"].output_shape)
        return ret


OPTIONS = {
    "test_score_thresh": 0.31,
    "test_nms_thresh": 0.41,
    "test_topk_per_image": 7,
    "smooth_l1_beta": 0.21,
    "box_reg_loss_type": "giou",
    "loss_weight": {"loss_box_reg": 5.0},
}


class OptionROIHeads(StandardROIHeads):
    """Heads that set options of their predictor without the config."""

    options: ClassVar[dict[str, Any]] = OPTIONS

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = OtherPredictor(cfg, ret["box_head"].output_shape, **cls.options)
        return ret


class OtherClassesROIHeads(OptionROIHeads):
    options: ClassVar[dict[str, Any]] = {"num_classes": 2}


class SeesawCustom(SeesawPredictors, CustomCascadeROIHeads):
    pass


class SeesawDetic(SeesawPredictors, DeticLike):
    pass


class SeesawSingle(SeesawPredictors, SingleROIHeads):
    pass


class SeesawOptions(SeesawPredictors, OptionROIHeads):
    pass


class SeesawOtherClasses(SeesawPredictors, OtherClassesROIHeads):
    pass


HEADS = (SeesawCustom, SeesawDetic, SeesawSingle, SeesawOptions, SeesawOtherClasses)


@pytest.fixture(autouse=True)
def registered():
    for each in HEADS:
        ROI_HEADS_REGISTRY.register(each)
    yield
    for each in HEADS:
        ROI_HEADS_REGISTRY._obj_map.pop(each.__name__)


def config(heads, *, multiply=True, **keys) -> CfgNode:
    cfg = tiny_config(*(CASCADE if heads in ("SeesawCustom", "SeesawDetic") else ()), "MODEL.ROI_HEADS.NAME", heads)
    cfg.MODEL.ROI_BOX_HEAD.MULT_PROPOSAL_SCORE = multiply
    for key, value in keys.items():
        (cfg.MODEL.ROI_BOX_HEAD if key.startswith("USE") else cfg)[key] = value
    return cfg


@pytest.mark.parametrize(("heads", "stages"), [("SeesawCustom", 3), ("SeesawDetic", 3), ("SeesawSingle", 1)])
def test_every_stage_trains_with_its_own_counts(heads, stages):
    torch.manual_seed(0)
    model = build_model(config(heads, multiply=False)).train()
    with EventStorage():
        losses = model(tiny_batch((3, 2)))
    sum(losses.values()).backward()
    found = [each for each in model.modules() if isinstance(each, SeesawBoxPredictor)]
    assert len(found) == stages
    assert len({id(each.cls_loss) for each in found}) == stages
    for predictor in found:
        assert predictor.cls_loss.class_counts.sum() > 0
        assert predictor.cls_score.weight.grad.abs().sum() > 0
    assert sum(name.startswith("loss_cls_objectness") for name in losses) == stages


def test_options_of_the_replaced_predictor_are_kept():
    predictor = build_model(config("SeesawOptions", multiply=False)).roi_heads.box_predictor
    assert isinstance(predictor, SeesawBoxPredictor)
    assert {name: getattr(predictor, name) for name in OPTIONS} == OPTIONS


def test_the_replaced_predictor_has_the_classes_of_the_config():
    with pytest.raises(ConfigError, match=rf"^MODEL\.ROI_HEADS\.NUM_CLASSES: expected 2,.*found {NUM_CLASSES}"):
        build_model(config("SeesawOtherClasses", multiply=False))


@pytest.mark.parametrize("multiply", [True, False])
def test_scores_are_multiplied_as_in_the_project(multiply):
    torch.manual_seed(0)
    model = build_model(config("SeesawCustom", multiply=multiply)).eval()
    images = model.preprocess_image(tiny_batch((1,)))
    with torch.no_grad():
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features, None)
        _, scores = model.roi_heads.scores(features, proposals)
        (found,), _ = model.roi_heads(images, features, proposals)
    assert len(found) == 5
    assert all((scores[0][:, :-1] - each).abs().min() < 1e-6 for each in found.scores)
    assert model.roi_heads.mult_proposal_score is multiply


@pytest.mark.parametrize(
    ("heads", "keys", "message"),
    [
        ("SeesawCustom", {"USE_SIGMOID_CE": True}, "USE_SIGMOID_CE"),
        ("SeesawCustom", {"USE_FED_LOSS": True}, "USE_FED_LOSS"),
        ("SeesawDetic", {"WITH_IMAGE_LABELS": True}, "WITH_IMAGE_LABELS"),
        ("SeesawSingle", {"multiply": True}, "MULT_PROPOSAL_SCORE"),
    ],
)
def test_refused(heads, keys, message):
    with pytest.raises(ConfigError, match=message):
        build_model(config(heads, **keys))


@pytest.mark.parametrize("bases", [(SingleROIHeads, SeesawPredictors), (SeesawPredictors, Res5ROIHeads)])
def test_bases_that_would_keep_the_own_predictor(bases):
    with pytest.raises(ValueError, match=r"^bases of Mine: .*ROIHeads"):
        type("Mine", bases, {})


def test_an_open_vocabulary_is_refused():
    model = build_model(config("SeesawDetic")).eval()
    model.roi_heads.classifier = torch.zeros(3, 4)
    with torch.no_grad(), pytest.raises(ValueError, match="classifier_info"):
        model(tiny_batch((1,)))


def test_the_example(monkeypatch):
    """Test that the class in examples/centernet2_heads.py trains every stage with Seesaw Loss."""
    config_module = types.ModuleType("centernet.config")
    config_module.add_centernet_config = lambda cfg: None
    heads_module = types.ModuleType("centernet.modeling.roi_heads.custom_roi_heads")
    heads_module.CustomCascadeROIHeads = CustomCascadeROIHeads
    for name in ("centernet", "centernet.modeling", "centernet.modeling.roi_heads"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for each in (config_module, heads_module):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    try:
        program = runpy.run_path(str(EXAMPLE))
        cfg = config("SeesawCustom", USE_SIGMOID_CE=True, USE_FED_LOSS=True)
        program["use_seesaw"](cfg)
        model = build_model(cfg)
    finally:
        ROI_HEADS_REGISTRY._obj_map.pop("SeesawCenterNet2ROIHeads")
    assert all(isinstance(each, SeesawBoxPredictor) for each in model.roi_heads.box_predictor)
    assert model.roi_heads.mult_proposal_score
