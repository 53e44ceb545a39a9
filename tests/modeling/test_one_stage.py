"""Test RetinaNet and FCOS with the sigmoid losses. With focal loss, they equal Detectron2's models."""

import numpy as np
import pytest
import torch
from detectron2.modeling import RetinaNet, build_model
from detectron2.modeling.meta_arch.fcos import FCOS
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY, FocalLoss, SeesawLoss
from seesaw_d2.losses.sigmoid import SigmoidLoss
from seesaw_d2.modeling import LongTailFCOS, LongTailRetinaNet
from seesaw_d2.train import load_config, main
from seesaw_d2.train.preflight.config_checks import check_names
from tests.modeling.tiny import NUM_CLASSES, tiny_batch

LOSS = "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"
SIGMOIDS = [name for name, each in LOSS_REGISTRY if issubclass(each, SigmoidLoss) and each.backgrounds != ("none",)]
ARCHITECTURES = {"retinanet": ("retinanet_glyphs_focal", LongTailRetinaNet, RetinaNet),
                 "fcos": ("fcos_glyphs_focal", LongTailFCOS, FCOS)}  # fmt: skip
SMALL = (
    *("MODEL.DEVICE", "cpu", "MODEL.RETINANET.NUM_CLASSES", NUM_CLASSES, "MODEL.SMALL_RESNET.WIDTHS", "[8, 12, 16]"),
    *("MODEL.FPN.OUT_CHANNELS", 32, "DATASETS.TEST", "()"),
)


@pytest.fixture(autouse=True)
def statistics(monkeypatch):
    counts = np.arange(1, NUM_CLASSES + 1)
    known = type("Known", (), {"image_count": counts, "instance_count": counts, "num_annotated_images": 100})
    monkeypatch.setattr("seesaw_d2.modeling.one_stage_loss.training_statistics", lambda cfg: known)


def config(case, *overrides):
    return load_config(f"configs/quickstart/{ARCHITECTURES[case][0]}.yaml", [*SMALL, *overrides])


def build(case, *overrides):
    torch.manual_seed(0)
    return build_model(config(case, *overrides))


def losses_of(model, batch=None):
    with EventStorage():
        return model.train()(batch or tiny_batch((3, 2)))


def plain(case, model):
    """Return Detectron2's detector with the same parts."""
    kinds = ARCHITECTURES[case]
    copy = build(case)
    copy.load_state_dict(model.state_dict())
    del copy.loss_normalizer
    copy.__class__ = kinds[2]  # all parts except the loss are equal
    return copy


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_with_focal_loss_they_are_detectron2s(case):
    ours = build(case)
    theirs = plain(case, ours)
    for _ in range(2):  # the moving average of the number of foreground anchors changes
        found, expected = losses_of(ours), losses_of(theirs)
        assert found.pop("loss_cls").item() == pytest.approx(
            expected.pop("loss_cls" if case == "retinanet" else "loss_fcos_cls").item(), rel=1e-5
        )
        torch.testing.assert_close(found, expected)
    with torch.no_grad():
        for mine, other in zip(ours.eval()(tiny_batch()), theirs.eval()(tiny_batch()), strict=True):
            assert len(mine["instances"]) > 0
            torch.testing.assert_close(mine["instances"].scores, other["instances"].scores)


@pytest.mark.parametrize("case", ARCHITECTURES)
@pytest.mark.parametrize("name", SIGMOIDS)
def test_every_sigmoid_loss_trains_and_predicts(case, name):
    model = build(case, LOSS, name)
    before = model.head.cls_score.weight.clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for objects in ((3, 2), (0, 0)):
        losses = losses_of(model, tiny_batch(objects))
        assert all(torch.isfinite(value) for value in losses.values())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert not torch.equal(model.head.cls_score.weight, before)
    with torch.no_grad():
        (output,) = model.eval()(tiny_batch((0,)))
    scores = output["instances"].scores
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("case", ARCHITECTURES)
@pytest.mark.parametrize("name", SIGMOIDS)
def test_scores_are_those_of_the_loss(case, name):
    """Test also EQL v2, which has an additional logit for background, and GOL, which has another activation."""
    assert_scores_of_the_loss(build(case, LOSS, name).eval())


class SquaredScores(FocalLoss):
    def probabilities(self, logits):
        return super().probabilities(logits) ** 2


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_scores_of_a_subclass(case, monkeypatch):
    monkeypatch.setattr(
        "seesaw_d2.modeling.one_stage_loss.build_loss", lambda cfg, num_classes, statistics: SquaredScores(num_classes)
    )
    assert_scores_of_the_loss(build(case).eval())


def assert_scores_of_the_loss(model):
    anchors, width = model.head.cls_score.out_channels // model.cls_loss.num_logits, model.cls_loss.num_logits
    logits = torch.randn(1, anchors * width, 2, 3)
    found = model._transpose_dense_predictions([[logits], [torch.zeros(1, 4 * anchors, 2, 3)]], [NUM_CLASSES, 4])
    rows = logits.view(1, anchors, width, 2, 3).permute(0, 3, 4, 1, 2).reshape(6 * anchors, width)
    torch.testing.assert_close(found[0][0][0].sigmoid(), model.cls_loss.probabilities(rows)[:, :NUM_CLASSES])


def test_the_average_is_saved():
    model = build("retinanet")
    losses_of(model)
    copy = build("retinanet")
    copy.load_state_dict(model.state_dict())
    assert losses_of(model)["loss_cls"] == losses_of(copy)["loss_cls"]
    assert model.loss_normalizer < 100


@pytest.mark.parametrize("case", ARCHITECTURES)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        (LOSS, "SeesawLoss"),
        (LOSS, "CrossEntropyLoss"),
        ("MODEL.RETINANET.FOCAL_LOSS_GAMMA", 1.5),
        ("MODEL.RETINANET.PRIOR_PROB", 0.02),
    ],
)
def test_refused(case, key, value):
    with pytest.raises(ConfigError, match=rf"{key}.*{value}"):
        build(case, key, value)


def test_losses_of_another_kind():
    arguments = LongTailRetinaNet.from_config(config("retinanet")) | {"cls_loss": SeesawLoss(NUM_CLASSES)}
    with pytest.raises(ValueError, match="cls_loss"):
        LongTailRetinaNet(**arguments)


@pytest.mark.parametrize("config_name", ["retinanet_glyphs_focal", "retinanet_glyphs_eqlv2", "fcos_glyphs_focal"])
def test_train_net(config_name, glyphs, tmp_path, monkeypatch):
    monkeypatch.undo()  # read the statistics of the data
    names = [f"one_stage_{glyphs.parent.name}_{split}" for split in ("train", "val")]
    entries = [
        {"NAME": name, "JSON": str(glyphs / f"annotations/glyphs_{split}.json"), "IMAGES": str(glyphs / "images")}
        for name, split in zip(names, ("train", "val"), strict=True)
    ]
    arguments = [
        *("--config-file", f"configs/quickstart/{config_name}.yaml", "MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", "2"),
        *("MODEL.SMALL_RESNET.WIDTHS", "[8, 12, 16]", "MODEL.FPN.OUT_CHANNELS", "32", "SOLVER.STEPS", "(1,)"),
        *("DATASETS.REGISTER", repr(entries), "DATASETS.TRAIN", repr((names[0],)), "DATASETS.TEST", repr((names[1],))),
        *("SOLVER.IMS_PER_BATCH", "2", "OUTPUT_DIR", str(tmp_path / "run")),
    ]
    assert main([*arguments, "MODEL.RETINANET.NUM_CLASSES", "5"]) == 2  # the data has 6 categories
    assert main([*arguments, "MODEL.RETINANET.NUM_CLASSES", "6"]) == 0
    assert list((tmp_path / "run").glob("inference/*/results.json"))


def test_names():
    for case in ARCHITECTURES:
        check_names(config(case))
    with pytest.raises(ConfigError, match=r"MODEL\.META_ARCHITECTURE.*LongTailRetinaNet"):
        check_names(config("retinanet", "MODEL.META_ARCHITECTURE", "RetinaNet"))
