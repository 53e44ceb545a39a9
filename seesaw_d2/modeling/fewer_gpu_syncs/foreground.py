"""Sample proposals and select foreground proposals with one host-device synchronization per batch."""

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.modeling.proposal_generator.proposal_utils import add_ground_truth_to_proposals
from detectron2.modeling.roi_heads import ROIHeads
from detectron2.structures import Instances, PolygonMasks, pairwise_iou
from detectron2.utils.events import get_event_storage
from torch import Tensor

from seesaw_d2.modeling.fewer_gpu_syncs.indices import true_indices
from seesaw_d2.modeling.fewer_gpu_syncs.matching import match, sample
from seesaw_d2.modeling.object_classes import highest_classes


@torch.no_grad()
def label_and_sample(heads: ROIHeads, proposals: Sequence[Instances], targets: Sequence[Instances]) -> list[Instances]:
    """Label and sample the proposals of each image, with the same result as ``heads.label_and_sample_proposals``.

    Args:
        heads: ROI heads, which define the matcher and the number of samples.
        proposals: one ``Instances`` for each image, with the proposals.
        targets: one ``Instances`` for each image, with the ground truth.

    Returns:
        the sampled proposals of each image, with the fields gt_classes and, if the image has objects, further ground
        truth such as gt_boxes.

    Raises:
        ValueError: the class of an object is the class of background, ``heads.num_classes``, or larger.
    """
    if heads.proposal_append_gt:
        proposals = add_ground_truth_to_proposals(targets, proposals)
    pairs = list(zip(proposals, targets, strict=True))
    matches = [match(heads.proposal_matcher, pairwise_iou(t.gt_boxes, p.proposal_boxes)) for p, t in pairs]
    labels = [
        classes_of(each.gt_classes, index, label, heads.num_classes)
        for each, (index, label, _) in zip(targets, matches, strict=True)
    ]
    limits = (heads.batch_size_per_image, heads.positive_fraction, heads.num_classes)
    samples = sample(labels, [valid for *_, valid in matches], *limits, highest_classes(targets))
    chosen = [torch.cat(pair) for pair in samples]
    objects = [index[each] for (index, *_), each in zip(matches, chosen, strict=True)]
    found = []
    for (each, target), classes, index, rows, host in zip(
        pairs, labels, chosen, objects, on_host(objects, targets), strict=True
    ):
        sampled = each[index]
        sampled.gt_classes = classes[index]
        if len(target):
            for name, value in target.get_fields().items():
                if name.startswith("gt_") and not sampled.has(name):
                    sampled.set(name, select(value, rows, host))
        found.append(sampled)
    storage = get_event_storage()
    storage.put_scalar("roi_head/num_fg_samples", np.mean([len(positive) for positive, _ in samples]))
    storage.put_scalar("roi_head/num_bg_samples", np.mean([len(negative) for _, negative in samples]))
    return found


def classes_of(classes: Tensor, index: Tensor, labels: Tensor, background: int) -> Tensor:
    """Return the class of each proposal of an image, as ``ROIHeads._sample_proposals`` does.

    The class is the class of the matched object, ``background``, or -1 for an ignored proposal.

    Args:
        classes: classes of the ground-truth objects in the image.
        index: index of the object that Detectron2's ``Matcher`` assigned to each proposal.
        labels: label that the ``Matcher`` assigned to each proposal: 1 foreground, 0 background, -1 ignored.
        background: class of background proposals.
    """
    if not len(classes):
        return torch.zeros_like(index) + background
    found = classes[index]
    found[labels == 0] = background
    found[labels == -1] = -1
    return found


def foreground(proposals: Sequence[Instances], background: int) -> list[Instances]:
    """Return the foreground proposals of each image, as Detectron2's ``select_foreground_proposals`` does.

    Args:
        proposals: proposals of each image. Proposals with class -1 are ignored.
        background: class of background proposals.
    """
    masks = [(each.gt_classes != -1) & (each.gt_classes != background) for each in proposals]
    flags = torch.cat(masks).cpu().split([len(each) for each in masks])
    found = []
    for each, mask, flag in zip(proposals, masks, flags, strict=True):
        host = flag.nonzero().squeeze(1)
        index = true_indices(mask, len(host))
        fields = {name: select(value, index, host) for name, value in each.get_fields().items()}
        found.append(Instances(each.image_size, **fields))
    return found


def on_host(indices: Sequence[Tensor], targets: Sequence[Instances]) -> Sequence[Tensor]:
    """Return ``indices``, copied to the CPU in one transfer if ``targets`` contain polygons.

    Polygon masks are always on the CPU, so the indices that select them must be there, too.

    Args:
        indices: for each image, indices of its ground-truth objects.
        targets: one ``Instances`` for each image, with the ground truth.
    """
    fields = (value for each in targets for value in each.get_fields().values())
    if not any(isinstance(value, PolygonMasks) for value in fields):
        return indices
    return torch.cat(list(indices)).cpu().split([len(each) for each in indices])


def select(value, index: Tensor, host: Tensor):
    """Return ``value[index]``. Polygons are on the CPU, so index them by ``host``, a copy of ``index`` on the CPU."""
    return value[host if isinstance(value, PolygonMasks) else index]
