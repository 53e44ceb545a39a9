"""Test that the steps with fewer GPU synchronizations equal Detectron2's bit for bit, with the same random numbers."""

import copy

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import CascadeROIHeads, ROIHeads, StandardROIHeads
from detectron2.modeling.roi_heads.mask_head import mask_rcnn_loss
from detectron2.modeling.roi_heads.roi_heads import select_foreground_proposals
from detectron2.modeling.sampling import subsample_labels
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage

from seesaw_d2.modeling import SeesawROIHeads
from seesaw_d2.modeling.fewer_gpu_syncs.foreground import foreground
from seesaw_d2.modeling.fewer_gpu_syncs.heads import BatchedROIPooler
from seesaw_d2.modeling.fewer_gpu_syncs.mask_loss import BatchedMaskHead, mask_loss
from seesaw_d2.modeling.fewer_gpu_syncs.matching import match, sample
from seesaw_d2.utils.deferred_scalars import kept_scalars, put_scalars
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config
from tests.pretend_cuda.test_steps import with_polygons

OBJECTS = (3, 0, 1, 6)


def boxes(count, seed, size=64.0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * size * 0.7
    return Boxes(torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * size * 0.5], dim=1))


def equal(found, expected):
    """Return whether values are equal bit for bit: tensors, boxes, masks, instances, and lists and dicts of these."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), [expected[key] for key in found]
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            equal(*pair)
    elif isinstance(expected, Instances):
        assert found.image_size == expected.image_size
        equal(found.get_fields(), expected.get_fields())
    elif isinstance(expected, PolygonMasks):
        equal(found.polygons, expected.polygons)
    elif isinstance(expected, (np.ndarray, float, int)):
        assert np.array_equal(found, expected)
    else:
        found, expected = (getattr(each, "tensor", each) for each in (found, expected))
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)


def scalars(function):
    """Return the result of a function, and the scalars that it logs."""
    with EventStorage() as storage:
        found = function()
        return found, {name: value for name, (value, _) in storage.latest().items()}


@pytest.mark.parametrize("low_quality", [False, True])
@pytest.mark.parametrize("objects", [0, 1, 5])
def test_matching(objects, low_quality):
    matcher = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=low_quality)
    overlaps = torch.rand(objects, 400, generator=torch.Generator().manual_seed(objects)).mul(20).round() / 20  # ties
    index, labels, valid = match(matcher, overlaps)
    equal((index, labels), matcher(overlaps))
    assert valid
    if objects:
        overlaps[0, 3] = float("nan")
        assert not match(matcher, overlaps)[2]


def test_another_matcher_is_asked():
    class Reversed(Matcher):
        def __call__(self, overlaps):
            index, labels = super().__call__(overlaps)
            return index.flip(0), labels.flip(0)

    matcher, overlaps = Reversed([0.5], [0, 1]), torch.rand(3, 9, generator=torch.Generator().manual_seed(0))
    equal(match(matcher, overlaps)[:2], matcher(overlaps))


# Ratios of ignored, positive and negative labels: many labels of a kind, none, and fewer than are sampled.
@pytest.mark.parametrize("shares", [(1, 3, 6), (0, 1, 200), (5, 0, 5), (5, 5, 0), (1, 0, 0), (0, 300, 1)])
def test_sampling(shares):
    generator = torch.Generator().manual_seed(sum(shares))
    values = torch.tensor([-1, 2, 7])[torch.multinomial(torch.tensor(shares).float(), 900, True, generator=generator)]
    labels = [values[:500], values[500:500], values[500:]]
    torch.manual_seed(4)
    expected = [subsample_labels(each, 64, 0.25, 7) for each in labels]
    after = torch.rand(3)
    torch.manual_seed(4)
    equal(sample(labels, [torch.tensor(True)] * 3, 64, 0.25, 7), expected)
    equal(torch.rand(3), after)
    with pytest.raises(AssertionError, match="overlaps"):
        sample(labels, [torch.tensor(True), torch.tensor(False), torch.tensor(True)], 64, 0.25, 7)


def heads_and_proposals(masks, *overrides):
    """Return ROI heads, proposals and targets."""
    torch.manual_seed(0)
    model = build_model(tiny_config(*overrides)).train()
    targets = [each["instances"] for each in masks(tiny_batch(OBJECTS))]
    proposals = [
        Instances((64, 64), proposal_boxes=boxes(40, seed), objectness_logits=torch.zeros(40))
        for seed in range(len(OBJECTS))
    ]
    for each, target in zip(proposals, targets, strict=True):  # some proposals overlap with objects
        for index, box in enumerate(target.gt_boxes.tensor):
            each.proposal_boxes.tensor[3 * index] = box + torch.tensor([1.0, 2, -1, 0])
    return model.roi_heads, proposals, targets


both_masks = pytest.mark.parametrize("masks", [lambda batch: batch, with_polygons], ids=["bitmaps", "polygons"])


@both_masks
def test_samples_of_heads_and_their_foreground(masks):
    heads, proposals, targets = heads_and_proposals(masks)
    results = []
    for function in (heads.label_and_sample_proposals, lambda *each: ROIHeads.label_and_sample_proposals(heads, *each)):
        torch.manual_seed(3)
        results.append(scalars(lambda function=function: function(proposals, targets)))
    equal(*results)
    assert results[0][1]["roi_head/num_fg_samples"] > 1
    sampled = results[0][0]
    equal(foreground(sampled, NUM_CLASSES), select_foreground_proposals(sampled, NUM_CLASSES)[0])


def test_a_subclass_keeps_its_sampling(monkeypatch):
    heads, proposals, targets = heads_and_proposals(lambda batch: batch)
    none = lambda *_: (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))  # noqa: E731
    monkeypatch.setattr(type(heads), "_sample_proposals", none)
    with EventStorage():
        assert [len(each) for each in heads.label_and_sample_proposals(proposals, targets)] == [0] * len(OBJECTS)


def test_a_base_class_keeps_its_methods():
    class Project(StandardROIHeads):
        def label_and_sample_proposals(self, proposals, targets):
            return "sampled by the project"

        def _forward_mask(self, features, instances):
            return {}

    class Heads(SeesawROIHeads, Project):
        pass

    heads, proposals, targets = heads_and_proposals(lambda batch: batch)
    heads.__class__ = Heads
    assert heads.label_and_sample_proposals(proposals, targets) == "sampled by the project"
    assert heads._forward_mask({}, []) == {}


@pytest.mark.parametrize("scales", [(1 / 4,), (1 / 4, 1 / 8), (1 / 4, 1 / 8, 1 / 16, 1 / 32)])
@pytest.mark.parametrize("counts", [(5, 0, 70), (0, 0)])
def test_pooling(scales, counts):
    features = [torch.randn(len(counts), 3, int(512 * scale), int(512 * scale)) for scale in scales]
    lists = [boxes(count, seed, 512.0) for seed, count in enumerate(counts)]
    results = []
    for kind in (BatchedROIPooler, ROIPooler):
        inputs = [each.clone().requires_grad_() for each in features]
        output = kind(7, scales, 0, "ROIAlignV2")(inputs, lists)
        output.square().sum().backward()
        results.append((output, [each.grad for each in inputs]))
    equal(*results)


@both_masks
@pytest.mark.parametrize("channels", [1, NUM_CLASSES])
@pytest.mark.parametrize("objects", [(2, 0, 3), (0, 0)])
def test_mask_loss(channels, objects, masks):
    instances = []
    for each in masks(tiny_batch(objects)):
        each["instances"].proposal_boxes = Boxes(each["instances"].gt_boxes.tensor + 3)
        instances.append(each["instances"])
    logits = torch.randn(sum(objects), channels, 14, 14)
    results = []
    for function in (mask_loss, mask_rcnn_loss):
        own = logits.clone().requires_grad_()
        loss, logged = scalars(lambda function=function, own=own: function(own, instances, 0))
        loss.backward()
        results.append((loss, logged, own.grad))
    assert len(results[1][1]) == 3 * (sum(objects) > 0)
    equal(*results)


@both_masks
def test_stages_of_a_cascade(masks):
    heads, proposals, targets = heads_and_proposals(masks, *CASCADE)
    sizes = [each.image_size for each in proposals]
    predicted = [each.proposal_boxes.tensor + 4 * torch.randn(len(each), 4) for each in proposals]
    predicted[0][:5] += 100  # outside the image
    refined = heads._create_proposals_from_boxes(predicted, sizes)
    equal(refined, CascadeROIHeads._create_proposals_from_boxes(heads, predicted, sizes))
    assert len(refined[0]) < len(predicted[0])
    results = [
        scalars(lambda method=method: method(copy.deepcopy(refined), 1, targets))
        for method in (
            heads._match_and_label_boxes,
            lambda *each: CascadeROIHeads._match_and_label_boxes(heads, *each),
        )
    ]
    equal(*results)
    assert results[0][1]["stage1/roi_head/num_fg_samples"] > 0
    predicted[1][0, 0] = float("inf")
    with pytest.raises(AssertionError, match="infinite or NaN"):
        heads._create_proposals_from_boxes(predicted, sizes)


def test_the_parts_of_the_heads():
    heads, *_ = heads_and_proposals(lambda batch: batch)
    assert type(heads.box_pooler) is type(heads.mask_pooler) is BatchedROIPooler
    assert type(heads.mask_head) is BatchedMaskHead


def test_deferred_scalars_keep_the_name_of_their_stage():
    with EventStorage() as storage, kept_scalars() as kept:
        with storage.name_scope("stage1"):
            put_scalars(["accuracy"], torch.ones(1))
        assert [names for names, _ in kept] == [["stage1/accuracy"]]
