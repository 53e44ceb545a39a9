"""Test that the batched detection of many images gives the same detections as Detectron2's inference."""

import numpy as np
import pytest
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference

from seesaw_d2.choosing import detecting
from seesaw_d2.choosing.detecting import Limits, batch_detections
from seesaw_d2.choosing.shared_boxes import MOST_PROPOSALS, applicable
from seesaw_d2.choosing.stored_proposals import ImageProposals
from seesaw_d2.evaluation.detections import Detections

SIZES = [((60, 90), (60, 90)), ((50, 80), (123, 197)), ((90, 60), (45, 31))]


def image(index, count, generator):
    """Return outputs for one image, with boxes that overlap, extend beyond the image, or are empty."""
    corners = generator.uniform(-20, 90, (count, 1, 2))
    sides = generator.choice([0.0, 7.3, 22.1, 40.7], (count, 1, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).reshape(count, 4).astype(np.float32)
    size, output_size = SIZES[index % len(SIZES)]
    return ImageProposals(10 + index, size, output_size, {"boxes": boxes})


def expected(images, rows, limits):
    parts = []
    for each, scores in zip(images, rows, strict=True):
        boxes = torch.from_numpy(each.columns["boxes"])
        thresholds = (limits.score_thresh, limits.nms_thresh, limits.topk)
        (found,), _ = fast_rcnn_inference([boxes], [scores], [each.size], *thresholds)
        parts.append(Detections.from_instances(detector_postprocess(found, *each.output_size), each.image_id))
    return Detections.concatenate(parts)


def detections(images, scores, limits):
    return rows_of(batch_detections(images, [scores.numpy()], lambda logits: logits[0], limits))


def rows_of(found):
    keys = np.stack([found.image_ids, found.category_ids, found.scores, *np.round(found.boxes, 3).T], axis=1)
    return keys[np.lexsort(keys.T)]


@pytest.mark.parametrize("topk", [7, 1000, -1])
@pytest.mark.parametrize("counts", [(30, 40, 25, 0), (1, 0, 2), (MOST_PROPOSALS + 1, 3)])
@pytest.mark.parametrize("most", [1, 800, 2**22])
def test_the_detections_of_inference(counts, topk, most, monkeypatch):
    generator = np.random.default_rng(sum(counts))
    images = [image(index, count, generator) for index, count in enumerate(counts)]
    scores = torch.from_numpy(generator.dirichlet(np.full(9, 0.3), sum(counts)).astype(np.float32))
    limits = Limits(0.02, 0.5, topk)
    assert applicable(images) == (max(counts) <= MOST_PROPOSALS)
    monkeypatch.setattr(detecting, "_MOST_LOGITS", most)
    found = detections(images, scores, limits)
    reference = rows_of(expected(images, scores.split(list(counts)), limits))
    assert len(reference) > 0
    np.testing.assert_allclose(found, reference, atol=2e-3)


def test_proposals_that_are_not_finite_are_left_out():
    generator = np.random.default_rng(1)
    images = [image(0, 20, generator)]
    images[0].columns["boxes"][3] = np.nan
    scores = torch.from_numpy(generator.dirichlet(np.full(4, 0.5), 20).astype(np.float32))
    scores[5] = torch.inf
    limits = Limits(0.01, 0.5, 100)
    np.testing.assert_allclose(
        detections(images, scores, limits), rows_of(expected(images, [scores], limits)), atol=2e-3
    )


def test_boxes_of_each_category_are_computed_one_by_one():
    boxes = {"boxes": np.tile(np.array([[1, 1, 9, 9]], np.float32), (2, 3))}
    assert not applicable([ImageProposals(1, (20, 20), (20, 20), boxes)])
