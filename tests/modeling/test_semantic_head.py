"""Test SeesawSemSegFPNHead: Detectron2's head with another loss, averaged over the pixels of all processes."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import CrossEntropyLoss, FocalLoss, SeesawLoss
from seesaw_d2.modeling import NormedConv2d, SeesawSemSegFPNHead
from seesaw_d2.modeling.semantic_head import check_semantic_config
from tests.modeling.tiny import tiny_config
from tests.processes import run_two_processes

C, IGNORED = 5, 255
SHAPES = {"p2": ShapeSpec(channels=4, stride=4), "p3": ShapeSpec(channels=4, stride=8)}
OPTIONS = {"num_classes": C, "conv_dims": 6, "common_stride": 4, "ignore_value": IGNORED, "loss_weight": 0.5}


def head(loss=None, **options):
    torch.manual_seed(0)
    return SeesawSemSegFPNHead(SHAPES, **OPTIONS, cls_loss=loss or SeesawLoss(C, background="none"), **options)


def batch(images=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = {"p2": torch.randn(images, 4, 8, 8, generator=generator)}
    features["p3"] = torch.randn(images, 4, 4, 4, generator=generator)
    labels = torch.randint(0, C, (images, 32, 32), generator=generator)
    labels[0, :20] = IGNORED  # images have different numbers of labelled pixels
    return features, labels


def test_with_cross_entropy_it_is_detectron2s():
    ours, theirs = head(CrossEntropyLoss(C, background="none")), SemSegFPNHead(SHAPES, **OPTIONS)
    theirs.load_state_dict(ours.state_dict())
    found, expected = (each(*batch())[1] for each in (ours, theirs))
    assert found.keys() == expected.keys()
    torch.testing.assert_close(found, expected)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        gradients = [torch.autograd.grad(v["loss_sem_seg"], p, retain_graph=True)[0] for v, p in
                     ((found, mine), (expected, other))]  # fmt: skip
        torch.testing.assert_close(*gradients)
    for each in (ours, theirs):
        each.eval()
    torch.testing.assert_close(ours(batch()[0])[0], theirs(batch()[0])[0])


def test_pixels_are_counted_without_ignored_ones():
    model, (features, labels) = head(), batch()
    model(features, labels)
    counts = model.cls_loss.class_counts
    assert counts.dtype == torch.int64
    assert counts.tolist() == [int((labels == index).sum()) for index in range(C)]
    assert counts.sum() == 2 * 32 * 32 - 20 * 32


def test_normalized_classifier():
    model = head(cls_predictor="NormedLinear", temperature=7.0)
    assert isinstance(model.predictor, NormedConv2d)
    assert model.predictor.temperature == 7
    assert torch.isfinite(model(*batch())[1]["loss_sem_seg"])


def step(process: int, processes: int = 2):
    """Return the loss of this process's images, the gradient averaged over processes, and the counts."""
    model, (features, labels) = head(), batch()
    own = slice(process, process + 1) if processes > 1 else slice(None)
    loss = model({name: value[own] for name, value in features.items()}, labels[own])[1]["loss_sem_seg"]
    loss.backward()
    grad = model.predictor.weight.grad / processes
    if processes > 1:
        torch.distributed.all_reduce(grad)
    return loss.detach(), grad, model.cls_loss.class_counts


def test_two_processes_are_one(tmp_path):
    loss, grad, counts = step(0, processes=1)
    results = run_two_processes(step, tmp_path)
    torch.testing.assert_close(sum(each[0] for each in results) / 2, loss)
    for each in results:
        torch.testing.assert_close(each[1], grad)
        assert torch.equal(each[2], counts)


@pytest.mark.parametrize("loss", [SeesawLoss(C), SeesawLoss(C + 1, background="none"), FocalLoss(C, background="none")])
def test_losses_of_another_kind(loss):
    with pytest.raises(ValueError, match="cls_loss"):
        head(loss)


def test_an_unknown_classifier():
    with pytest.raises(ValueError, match="LWSLinear"):
        head(cls_predictor="LWSLinear")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CLS_LOSS.NAME", "FocalLoss"),
        ("CLS_LOSS.NAME", "BalancedSoftmaxLoss"),  # needs counts of instances
        ("CLS_LOSS.BACKGROUND", "objectness"),
        ("CLS_PREDICTOR.NAME", "LWSLinear"),
    ],
)
def test_configs_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"MODEL\.ROI_BOX_HEAD\.{key}.*{value}"):
        check_semantic_config(tiny_config(f"MODEL.ROI_BOX_HEAD.{key}", value))
