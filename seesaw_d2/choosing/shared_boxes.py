"""Select the detections of many images at once, for models with class-agnostic box regression.

Shapes: I images, R proposals per image (images with fewer proposals are padded), C categories, P proposals in total.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seesaw_d2.choosing.stored_proposals import ImageProposals
from seesaw_d2.evaluation.detections import Detections

# NMS in this module compares all pairs of proposals. It is used only for images with at most this number of proposals,
# because torchvision's NMS is faster for more proposals.
MOST_PROPOSALS = 128


def applicable(images: Sequence[ImageProposals]) -> bool:
    """Return True if ``shared_box_detections`` supports the images.

    All categories must share one box per proposal (class-agnostic box regression), and each image must have at most
    MOST_PROPOSALS proposals.
    """
    return all(len(each.columns["boxes"]) <= MOST_PROPOSALS and each.columns["boxes"].shape[1] == 4 for each in images)


def shared_box_detections(
    images: Sequence[ImageProposals], scores: Tensor, score_thresh: float, nms_thresh: float, topk: int
) -> Detections:
    """Return the same detections as Detectron2's ``fast_rcnn_inference``, but process many images at once.

    The boxes are in pixels of the image files, as after ``detector_postprocess``. IoUs can differ from Detectron2's by
    rounding errors, because torchvision's ``batched_nms`` shifts the boxes of each category.

    Args:
        images: images with one box per proposal, for which ``applicable`` returns True.
        scores: (P, C + 1) scores of the P proposals of all images for C categories and, in the last column, background.
        score_thresh: minimum score of a detection.
        nms_thresh: IoU threshold of NMS.
        topk: maximum number of detections per image. If negative, all detections are kept.

    Returns:
        detections with contiguous category indices.
    """
    if not images:
        return Detections.empty(masks=False)
    boxes, padded = _padded(images, scores.split([len(each.columns["boxes"]) for each in images]))
    kept = nms_of_categories(boxes, padded, score_thresh, nms_thresh)
    return _best(images, boxes, torch.where(kept, padded, -1), topk)


def _padded(images: Sequence[ImageProposals], rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Copy the boxes and scores of all images to one tensor each. Images with fewer proposals are padded.

    Args:
        images: I images with a box for each proposal.
        rows: scores (number of proposals, C + 1) of each image, for C categories and background.

    Returns:
        boxes (I, R, 4), clipped to the image, and scores (I, C, R), where R is the largest number of proposals.
        Padding, and proposals with NaN or infinity, have the score -1.
    """
    largest = max(len(each) for each in rows)
    boxes = torch.zeros(len(images), largest, 4)
    scores = torch.full((len(images), rows[0].shape[1] - 1, largest), -1.0)
    for index, (image, found) in enumerate(zip(images, rows, strict=True)):
        own = torch.from_numpy(np.array(image.columns["boxes"]))
        valid = own.isfinite().all(dim=1) & found.isfinite().all(dim=1)
        height, width = image.size
        limit = own.new_tensor([width, height, width, height])
        boxes[index, : len(own)] = torch.where(valid[:, None], own, 0).clamp(min=0).minimum(limit)
        scores[index, :, : len(own)] = torch.where(valid[:, None], found[:, :-1], -1.0).T
    return boxes, scores


def nms_of_categories(boxes: Tensor, scores: Tensor, score_thresh: float, nms_thresh: float) -> Tensor:
    """Run NMS separately for each image and category, on all images and categories at once.

    Args:
        boxes: (I, R, 4) XYXY boxes of R proposals in each of I images, shared by all categories.
        scores: (I, C, R) scores of the proposals for C categories.
        score_thresh: scores up to this value are discarded before NMS.
        nms_thresh: a proposal is discarded if its IoU with a proposal of higher score is larger than this value.

    Returns:
        (I, C, R) bool, True for the scores that are kept.
    """
    low, high = (combine(boxes[:, :, None], boxes[:, None]) for combine in (torch.maximum, torch.minimum))
    sides = (high[..., 2:] - low[..., :2]).clamp(min=0)
    common, areas = sides.prod(dim=3), (boxes[..., 2:] - boxes[..., :2]).prod(dim=2)
    close = common / (areas[:, :, None] + areas[:, None] - common) > nms_thresh
    close &= ~torch.eye(boxes.shape[1], dtype=torch.bool)
    alive = scores > score_thresh
    order = scores.argsort(dim=2, descending=True, stable=True)
    for rank in range(int(alive.sum(dim=2).max()) if alive.numel() else 0):
        box = order[:, :, rank : rank + 1]  # index of the proposal with this rank, (images, categories, 1)
        hidden = close.gather(1, box.expand(-1, -1, boxes.shape[1]))
        alive &= ~(hidden & alive.gather(2, box))
    return alive


def _best(images: Sequence[ImageProposals], boxes: Tensor, scores: Tensor, topk: int) -> Detections:
    """Return the ``topk`` highest-scoring detections of each image, with boxes in pixels of the image files.

    Args:
        images: I images.
        boxes: (I, R, 4) boxes of R proposals in pixels of the resized images.
        scores: (I, C, R) scores of the proposals for C categories. Negative scores are not detections.
        topk: maximum number of detections per image. If negative, return all detections.
    """
    flat = scores.flatten(1)
    found, place = flat.topk(flat.shape[1] if topk < 0 else min(topk, flat.shape[1]))
    category, proposal = place.div(scores.shape[2], rounding_mode="floor"), place % scores.shape[2]
    factors = [
        [width / size[1], height / size[0]] for size, (height, width) in ((x.size, x.output_size) for x in images)
    ]
    sizes = torch.tensor([[width, height] for height, width in (each.output_size for each in images)])
    scaled = boxes * torch.tensor(factors, dtype=torch.float32).repeat(1, 2)[:, None]
    scaled = scaled.clamp(min=0).minimum(sizes.float().repeat(1, 2)[:, None])
    chosen = scaled.gather(1, proposal[..., None].expand(-1, -1, 4))
    sides = chosen[..., 2:] - chosen[..., :2]
    real = (found >= 0) & (sides > 0).all(dim=2)
    ids = torch.tensor([each.image_id for each in images])[:, None].expand_as(found)
    xywh = torch.cat([chosen[..., :2], sides], dim=2)[real]
    arrays = (each[real].numpy() for each in (ids, category))
    return Detections(*arrays, found[real].double().numpy(), xywh.double().numpy())
