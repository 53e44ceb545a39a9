"""Paste objects of rare categories into training images: Copy-Paste (Ghiasi et al., CVPR 2021, arXiv 2012.07177).

Shapes: N is the number of objects in an image. H and W are the height and width of the image.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor

from seesaw_d2.errors import DataError

Record = dict[str, Any]


class ObjectSource(Protocol):
    """Interface of samplers that choose the objects to paste into an image, such as ``RareObjects``."""

    def draw(self) -> list[tuple[int, int]]:
        """Draw the objects to paste into one image.

        Return a list with a pair (index of the object's dataset dict, index in its "annotations") for each object.
        """


class CopyPasteMapper:
    """Mapper that pastes objects from other images into the image of a dataset dict.

    ``mapper`` augments both the image and the other images. Each object is pasted at a random position inside the
    image. If an object is larger than the image, only the upper left part of the object is pasted. Pasted pixels are
    removed from the masks of the covered objects, and the boxes of these objects shrink to the remaining masks. Fully
    covered objects are removed.

    In the paper, a random subset of an image's objects is pasted. This mapper pastes single objects of rare categories
    at random positions, without blending their edges. According to the paper, blending makes no difference.

    All random numbers come from the global random generators. ``TrainLoader`` seeds these generators with its own seed
    and the position of the image in the training sequence. Therefore a resumed training pastes the same objects as an
    uninterrupted training.

    Args:
        mapper: function that maps a dataset dict to model inputs with bitmasks, such as Detectron2's ``DatasetMapper``.
        records: dataset dicts with the objects to paste.
        objects: sampler of the objects to paste.
    """

    def __init__(self, mapper: Callable[[Record], Any], records: Sequence[Record], objects: ObjectSource):
        self.mapper, self.records, self.objects = mapper, records, objects

    def __call__(self, record: Record) -> Any:
        """Return the model inputs of a dataset dict with pasted objects, or None if ``mapper`` returns None.

        Raises:
            DataError: ``mapper`` does not return bitmasks.
        """
        result = self.mapper(record)
        if result is None:
            return None
        for index, position in self.objects.draw():
            source = self._single(index, position)
            if source is not None:
                result = paste(result, source)
        return result

    def _single(self, index: int, position: int) -> Record | None:
        """Return the model inputs of an image with only one of its objects.

        Return None if augmentation removes the object, or if the mapper replaces the image.

        Args:
            index: index of the image in ``records``.
            position: index of the object in the "annotations" of the image.
        """
        record = self.records[index]
        source = self.mapper({**record, "annotations": [record["annotations"][position]]})
        # Paste nothing if augmentation removed the object, or if the mapper replaced an unreadable image with another
        # image, which does not contain the object.
        if source is None or source.get("image_id") != record.get("image_id") or len(source["instances"]) != 1:
            return None
        return source


def paste(target: Record, source: Record) -> Record:
    """Paste the single object of one image at a random position into another image.

    Model inputs are dicts with "image" (channels, height, width) and "instances" with bitmasks.

    Args:
        target: model inputs of the image that receives the object. They are not modified.
        source: model inputs of the image with the single object.

    Returns:
        the new model inputs.
    """
    pixels, mask = _cut_out(source["image"], _masks(source["instances"])[0], target["image"].shape[1:])
    if not mask.any():
        return target
    (height, width), (h, w) = target["image"].shape[1:], mask.shape
    top, left = (int(np.random.randint(size + 1)) for size in (height - h, width - w))  # noqa: NPY002
    window = np.s_[..., top : top + h, left : left + w]
    image = target["image"].clone()
    image[window] = torch.where(mask, pixels, image[window])
    full = torch.zeros(1, height, width, dtype=torch.bool)
    full[window] = mask
    pasted = _with_masks(source["instances"], full, (height, width))
    instances = [_uncovered(target["instances"], full[0])] if len(target["instances"]) else []
    return {**target, "image": image, "instances": Instances.cat([*instances, pasted])}


def _cut_out(image: Tensor, mask: Tensor, largest: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Crop an image (channels, H, W) and the mask (H, W) of an object to the box around the mask.

    If the box is larger than ``largest`` (height, width), keep only the upper left part of the box.
    """
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return image[:, :0, :0], mask[:0, :0]
    (top, bottom), (left, right) = (
        (int(where[0]), min(int(where[-1]) + 1, int(where[0]) + size))
        for where, size in zip((rows, columns), largest, strict=True)
    )
    return image[:, top:bottom, left:right], mask[top:bottom, left:right]


def _uncovered(instances: Instances, cover: Tensor) -> Instances:
    """Remove covered pixels from the masks of instances, and remove fully covered instances.

    The boxes of partly covered instances become the boxes around the remaining masks.

    Args:
        instances: N instances in an image of H x W pixels.
        cover: (H, W) bool, True for covered pixels.
    """
    before = _masks(instances)
    masks = before & ~cover
    changed = (masks != before).flatten(1).any(dim=1)
    visible = ~changed | masks.flatten(1).any(dim=1)
    result = instances[visible]
    result.gt_masks = BitMasks(masks[visible])
    boxes = result.gt_boxes.tensor.clone()
    shrunk = changed[visible]
    boxes[shrunk] = BitMasks(masks[visible][shrunk]).get_bounding_boxes().tensor.to(boxes.dtype)
    result.gt_boxes = Boxes(boxes)
    return result


def _with_masks(instances: Instances, masks: Tensor, size: tuple[int, int]) -> Instances:
    """Return a copy of N instances with new masks, the boxes around these masks, and a new image size.

    Args:
        instances: the N instances.
        masks: (N, H, W) bool, the new masks.
        size: height H and width W of the image.
    """
    result = Instances(size, **instances.get_fields())
    boxes = BitMasks(masks).get_bounding_boxes().tensor.to(instances.gt_boxes.tensor.dtype)
    result.gt_masks, result.gt_boxes = BitMasks(masks), Boxes(boxes)
    return result


def _masks(instances: Instances) -> Tensor:
    """Return the bitmasks of N instances as a bool tensor (N, H, W). Raise DataError if the instances lack bitmasks."""
    masks = instances.gt_masks if instances.has("gt_masks") else None
    if not isinstance(masks, BitMasks):
        found = "no masks" if masks is None else f"masks of type {type(masks).__name__}"
        raise DataError(
            f"Copy-Paste: expected masks of type BitMasks in the model inputs, found {found}. Use a mapper that "
            "returns bitmasks, such as DatasetMapper with INPUT.MASK_FORMAT bitmask."
        )
    return masks.tensor.bool()
