"""Find the proposals that match the same ground-truth object."""

from collections.abc import Sequence

import torch
from detectron2.structures import Instances
from torch import Tensor


def matched_objects(proposals: Sequence[Instances]) -> Tensor:
    """Return an int64 object index in [0, N) for each of N proposals of a batch.

    Two proposals have the same index if they match the same ground-truth object. The index is the position of the first
    proposal that matches the object. Indices of background proposals have no meaning.

    Detectron2 stores the matched box of each proposal, not the index of the matched object. Therefore two objects of an
    image with the same category and the same box count as one object.

    Args:
        proposals: one ``Instances`` for each image, at least one. Each contains ``gt_classes``, and ``gt_boxes`` if the
            image has objects.
    """
    found, start = [], 0
    for each in proposals:
        found.append(_first_rows(each) + start)
        start += len(each)
    return torch.cat(found)


def _first_rows(proposals: Instances) -> Tensor:
    """Return, for each proposal of an image, the int64 index of the first proposal that matches the same object."""
    labels = proposals.gt_classes
    if len(labels) == 0 or not proposals.has("gt_boxes"):  # no proposals, or only background proposals
        return torch.zeros_like(labels)
    boxes = proposals.gt_boxes.tensor
    same = (labels[:, None] == labels) & (boxes[:, None] == boxes).all(dim=2)
    return same.int().argmax(dim=1)
