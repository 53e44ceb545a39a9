"""Match anchors or proposals with ground truth, and sample them with one host-device synchronization per batch."""

from collections.abc import Sequence

import torch
from detectron2.modeling.matcher import Matcher
from torch import Tensor

from seesaw_d2.modeling.fewer_gpu_syncs.indices import nth_true, read
from seesaw_d2.modeling.object_classes import check_highest_classes

# Result of ``match`` for the boxes of an image, three tensors: for each box the index of its ground-truth object, for
# each box its label (1 foreground, 0 background, -1 ignored), and a bool scalar, True if all overlaps are >= 0.
Match = tuple[Tensor, Tensor, Tensor]


def match(matcher: Matcher, overlaps: Tensor) -> Match:
    """Match the boxes of an image with ground-truth objects, with the same result as ``matcher(overlaps)``.

    Detectron2's ``Matcher`` asserts for each image that all overlaps are >= 0. This assertion synchronizes host and
    device. Instead, ``sample`` checks the third result of this function for all images with one synchronization.

    Args:
        matcher: Detectron2's ``Matcher``, which defines the thresholds.
        overlaps: IoU of each object (row) with each box (column).

    Returns:
        tuple of the index of the matched object of each box, the label of each box, and a scalar bool tensor, whether
        all overlaps are >= 0.
    """
    if type(matcher) is not Matcher or overlaps.numel() == 0:
        return *matcher(overlaps), torch.ones((), dtype=torch.bool, device=overlaps.device)
    values, index = overlaps.max(dim=0)
    labels = index.new_full(index.size(), 1, dtype=torch.int8)
    for label, low, high in zip(matcher.labels, matcher.thresholds[:-1], matcher.thresholds[1:], strict=True):
        labels[(values >= low) & (values < high)] = label
    if matcher.allow_low_quality_matches:
        best = overlaps.max(dim=1, keepdim=True).values
        labels[(overlaps == best).any(dim=0)] = 1
    return index, labels, (overlaps >= 0).all()


def sample(
    labels: Sequence[Tensor],
    valid: Sequence[Tensor],
    num_samples: int,
    positive_fraction: float,
    background: int,
    highest: Sequence[Tensor] = (),
) -> list[tuple[Tensor, Tensor]]:
    """Sample boxes of each image as Detectron2's ``subsample_labels`` does, with the same random numbers.

    Args:
        labels: for each image, the labels of its boxes. Boxes with label -1 are ignored.
        valid: for each image, a scalar bool tensor, whether all overlaps are >= 0 (the third result of ``match``).
        num_samples, positive_fraction: as in ``subsample_labels``.
        background: label of background boxes, ``bg_label`` of ``subsample_labels``.
        highest: for each image, a scalar tensor with the highest class of its objects, to be checked against
            ``background``.

    Returns:
        for each image, a tuple of the indices of the positive samples and the indices of the negative samples.

    Raises:
        AssertionError: an overlap is negative or NaN. Detectron2's ``Matcher`` also raises this error.
        ValueError: a class in ``highest`` is ``background`` or larger.
    """
    masks = [((each != -1) & (each != background), each == background) for each in labels]
    counts = read([*valid, *highest, *(mask.sum() for pair in masks for mask in pair)])
    assert all(counts[: len(valid)]), "overlaps (IoU) of boxes: expected values >= 0, found NaN or a negative value"
    first = len(valid) + len(highest)
    check_highest_classes(counts[len(valid) : first], background)
    pairs = zip(counts[first::2], counts[first + 1 :: 2], strict=True)
    found = []
    for (positive, negative), (num_positive, num_negative) in zip(masks, pairs, strict=True):
        positives = min(num_positive, int(num_samples * positive_fraction))
        negatives = min(num_negative, num_samples - positives)
        chosen = torch.randperm(num_positive, device=positive.device)[:positives]
        others = torch.randperm(num_negative, device=negative.device)[:negatives]
        found.append((nth_true(positive, chosen), nth_true(negative, others)))
    return found
