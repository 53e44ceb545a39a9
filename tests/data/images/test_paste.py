"""Test Copy-Paste of objects into a single image: pixels, masks and boxes agree."""

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances

from seesaw_d2.data.images.copy_paste import paste
from seesaw_d2.data.sampling.seeding import seeded
from seesaw_d2.errors import DataError


def inputs(masks, classes, value, size=(30, 40)):
    """Return model inputs with objects (N, H, W). Pixels of objects have the same value, pixels of background are 0."""
    masks = torch.as_tensor(np.array(masks), dtype=torch.bool).reshape(-1, *size)
    image = (masks.any(dim=0) * value).to(torch.uint8).expand(3, -1, -1).clone()
    boxes = Boxes(BitMasks(masks).get_bounding_boxes().tensor)
    fields = {"gt_boxes": boxes, "gt_classes": torch.tensor(classes), "gt_masks": BitMasks(masks)}
    return {"image": image, "instances": Instances(size, **fields), "image_id": value}


def rectangle(top, left, bottom, right, size=(30, 40)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def ring():
    return rectangle(3, 3, 15, 15) & ~rectangle(6, 6, 12, 12)


@pytest.mark.parametrize("seed", range(5))
def test_pixels_masks_and_boxes_agree(seed):
    whole = [rectangle(0, 0, 30, 20), rectangle(10, 22, 12, 39)]
    target, source = inputs(whole, [0, 2], 50), inputs([ring()], [5], 200)
    with seeded(seed):
        result = paste(target, source)
    instances, image = result["instances"], result["image"][0]
    pasted = instances.gt_masks.tensor[-1]
    assert pasted.sum() == ring().sum()
    assert torch.equal(image == 200, pasted)
    assert torch.equal(image[~pasted], target["image"][0][~pasted])
    assert instances.gt_classes.tolist() == [0, 2, 5]
    for mask, before in zip(instances.gt_masks.tensor, whole, strict=False):
        assert torch.equal(mask, torch.from_numpy(before) & ~pasted)
    assert torch.equal(instances.gt_boxes.tensor, instances.gt_masks.get_bounding_boxes().tensor)
    assert torch.equal(target["image"][0], torch.from_numpy(whole[0] | whole[1]) * 50)  # unchanged


def test_boxes_of_objects_that_are_not_covered_do_not_change():
    """Test that boxes of uncovered objects stay unchanged, even if they differ from the boxes around the masks."""
    target = inputs([rectangle(0, 0, 1, 1)], [0], 50)
    target["instances"].gt_boxes = Boxes(torch.tensor([[0.25, 0.25, 1.75, 1.5]]))
    with seeded(1):
        result = paste(target, inputs([rectangle(3, 3, 6, 6)], [5], 200))
    assert result["instances"].gt_boxes.tensor[0].tolist() == [0.25, 0.25, 1.75, 1.5]


def test_an_entirely_covered_object_is_removed():
    target, source = inputs([rectangle(10, 10, 12, 12)], [0], 50), inputs([rectangle(0, 0, 30, 40)], [5], 200)
    result = paste(target, source)
    assert result["instances"].gt_classes.tolist() == [5]
    assert (result["image"] == 200).all()


def test_an_object_larger_than_the_image_is_cut():
    size = (8, 60)
    target, source = inputs([rectangle(0, 0, 1, 1, size)], [0], 50, size), inputs([rectangle(0, 0, 30, 40)], [5], 200)
    result = paste(target, source)
    assert result["instances"].image_size == size
    assert result["instances"].gt_masks.tensor[-1].sum() == 8 * 40


def test_an_image_without_objects_gets_one():
    empty = {"image": torch.zeros(3, 30, 40, dtype=torch.uint8), "instances": Instances((30, 40))}
    empty["instances"].gt_boxes, empty["instances"].gt_classes = Boxes(torch.zeros(0, 4)), torch.zeros(0).long()
    assert paste(empty, inputs([ring()], [5], 200))["instances"].gt_classes.tolist() == [5]


def test_polygons_are_refused():
    target = inputs([rectangle(0, 0, 5, 5)], [0], 50)
    target["instances"].remove("gt_masks")
    with pytest.raises(DataError, match="BitMasks"):
        paste(target, inputs([ring()], [5], 200))
