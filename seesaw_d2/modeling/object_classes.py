"""Check the classes of ground-truth objects before they are mixed with the class of background.

In Detectron2, the class ``num_classes`` is background. Without these checks, objects of this class would be trained as
background without a message, for example if the classes of the data begin with 1. The class -1 is valid: Detectron2
ignores such objects.
"""

from collections.abc import Sequence

import torch
from detectron2.structures import Instances
from torch import Tensor

from seesaw_d2.modeling.fewer_gpu_syncs.indices import read


def check_object_classes(targets: Sequence[Instances], num_classes: int, *, on_gpu: bool = False) -> None:
    """Raise ValueError if an object has the class ``num_classes`` or a larger class.

    Args:
        targets: ground truth of each image, with or without the field ``gt_classes``.
        num_classes: number of categories of the model.
        on_gpu: whether to also check objects on a GPU, which synchronizes host and device once. If False, code that
            reads other values from the GPU can check these objects with ``highest_classes`` and
            ``check_highest_classes``.
    """
    known = {index: each.gt_classes for index, each in enumerate(targets) if each.has("gt_classes")}
    checked = {index: each for index, each in known.items() if len(each) and (on_gpu or each.device.type == "cpu")}
    found = dict(zip(checked, read([each.max() for each in checked.values()]), strict=True))
    check_highest_classes([found.get(index, -1) for index in range(len(targets))], num_classes)


def highest_classes(targets: Sequence[Instances]) -> list[Tensor]:
    """Return the highest class of the objects of each image, scalar tensors. The class is -1 without objects.

    Args:
        targets: ground truth of each image, with the fields ``gt_boxes`` and, unless it is empty, ``gt_classes``.
    """
    no_class = [each.gt_boxes.tensor.new_full((), -1, dtype=torch.int64) for each in targets]
    return [each.gt_classes.max() if len(each) else none for each, none in zip(targets, no_class, strict=True)]


def check_highest_classes(highest: Sequence[int], num_classes: int) -> None:
    """Raise ValueError if the highest class of the objects of an image is ``num_classes`` or larger.

    Args:
        highest: the highest class in each image (see ``highest_classes``).
        num_classes: number of categories of the model.
    """
    for index, found in enumerate(highest):
        if found >= num_classes:
            raise ValueError(
                f"gt_classes: expected values from 0 to {num_classes - 1} for a model with {num_classes} categories, "
                f"found {found} in image {index} of the batch. Check MODEL.ROI_HEADS.NUM_CLASSES (for RetinaNet and "
                "FCOS: MODEL.RETINANET.NUM_CLASSES), and that the class indices of the data begin with 0."
            )
