"""Test that valid combinations of loss, head, classifier and sampler train, and that others raise errors."""

import itertools

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.solver import build_optimizer
from detectron2.utils.events import EventStorage

from seesaw_d2.data import build_train_loader, register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.train import load_config
from tests.modeling.tiny import CASCADE, tiny_config

CLS_LOSS = "MODEL.ROI_BOX_HEAD.CLS_LOSS"
LOSSES = sorted(name for name, each in LOSS_REGISTRY if set(each.backgrounds) - {"none"})  # other losses: classifiers
BACKGROUNDS = ("objectness", "class", "implicit")
WRAPPER = "PairwiseClassBalance"
PAIRS = list(itertools.product(LOSSES, BACKGROUNDS))
# "auto" selects the first background of a loss. A wrapper has the background of the wrapped loss.
ALLOWED = [(name, "auto") for name in LOSSES]
ALLOWED += [(name, b) for name, b in PAIRS if b in LOSS_REGISTRY.get(name).backgrounds[1:] and name != WRAPPER]
REFUSED = [(name, b) for name, b in PAIRS if b not in LOSS_REGISTRY.get(name).backgrounds]
HEADS = {"mask": (), "cascade": CASCADE}
SAMPLERS = ("TrainingSampler", "RepeatFactorTrainingSampler")


@pytest.fixture
def data(config_file):
    """Return overrides that use the tests' glyph dataset with the tiny model."""
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    return (
        "DATASETS.REGISTER",
        cfg.DATASETS.REGISTER,
        "DATASETS.TRAIN",
        cfg.DATASETS.TRAIN,
        "MODEL.ROI_HEADS.NUM_CLASSES",
        classes,
    )


_batches = {}


def batches(data):
    """Return one batch of two images from each sampler."""
    for sampler in SAMPLERS:
        if sampler not in _batches:
            cfg = tiny_config(*data, "DATALOADER.SAMPLER_TRAIN", sampler, "DATALOADER.REPEAT_THRESHOLD", 0.3)
            cfg.SOLVER.IMS_PER_BATCH = 2
            _batches[sampler] = next(iter(build_train_loader(cfg)))
    return _batches


@pytest.mark.parametrize("classifier", ["Linear", "NormedLinear"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("name", "background"), ALLOWED)
def test_trains(name, background, head, classifier, data):
    overrides = (f"{CLS_LOSS}.NAME", name, f"{CLS_LOSS}.BACKGROUND", background)
    overrides += ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", classifier)
    cfg = tiny_config(*HEADS[head], *data, *overrides)
    torch.manual_seed(0)
    model = build_model(cfg).train()
    optimizer = build_optimizer(cfg, model)
    before = {key: value.clone() for key, value in model.named_parameters() if "cls_score" in key}
    for sampler in SAMPLERS:
        with EventStorage():
            losses = model(batches(data)[sampler])
        assert all(torch.isfinite(value) for value in losses.values()), losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        optimizer.step()
    assert all(not torch.equal(value, before[key]) for key, value in model.named_parameters() if key in before)
    with torch.no_grad():
        instances = model.eval()(batches(data)[SAMPLERS[0]][:1])[0]["instances"]
    assert ((instances.scores >= 0) & (instances.scores <= 1)).all()


@pytest.mark.parametrize(("name", "background"), REFUSED)
def test_a_background_that_the_loss_cannot_model_is_refused(name, background, data):
    cfg = tiny_config(*data, f"{CLS_LOSS}.NAME", name, f"{CLS_LOSS}.BACKGROUND", background)
    with pytest.raises(ConfigError) as error:
        build_model(cfg)
    for part in (f"{CLS_LOSS}.BACKGROUND: ", f" {name} ", f"found {background!r}"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", LOSSES)
def test_cascade_with_boxes_for_every_category_is_refused(name, data):
    cfg = tiny_config(*CASCADE, *data, f"{CLS_LOSS}.NAME", name, "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", False)
    with pytest.raises(ConfigError, match=r"CLS_AGNOSTIC_BBOX_REG: .*expected True.*found False"):
        build_model(cfg)


@pytest.mark.parametrize("name", LOSSES)
def test_image_classification_is_no_detector(name, data):
    with pytest.raises(ConfigError, match=rf"{CLS_LOSS}\.BACKGROUND: expected one of .*, found 'none'"):
        build_model(tiny_config(*data, f"{CLS_LOSS}.NAME", name, f"{CLS_LOSS}.BACKGROUND", "none"))


@pytest.mark.parametrize("classifier", ["Linear", "NormedLinear"])
@pytest.mark.parametrize("head", HEADS)
def test_the_classifier_starts_from_the_losss_bias(head, classifier, data):
    keys = (f"{CLS_LOSS}.NAME", "FocalLoss", f"{CLS_LOSS}.FOCAL.PRIOR", 0.2)
    model = build_model(tiny_config(*HEADS[head], *data, *keys, "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", classifier))
    predictors = model.roi_heads.box_predictor
    for predictor in predictors if head == "cascade" else [predictors]:
        bias = predictor.cls_score.bias.detach()
        torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, 0.2))
