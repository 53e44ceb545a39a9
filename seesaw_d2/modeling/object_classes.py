"""Check the classes of ground-truth objects before they are mixed with the class of background."""

from collections.abc import Sequence

from detectron2.structures import Instances


def check_object_classes(targets: Sequence[Instances], num_classes: int) -> None:
    """Raise ValueError if the class of an object is ``num_classes`` or larger.

    In Detectron2, the class ``num_classes`` is background. Without this check, objects of this class would be trained
    as background without a message, for example if the classes of the data begin with 1. The classes are checked
    only on the CPU, because reading the values of a GPU would synchronize host and device.

    Args:
        targets: ground truth of each image, with the field ``gt_classes``. The class -1 is valid: Detectron2 ignores
            such objects.
        num_classes: number of categories of the model.
    """
    for index, each in enumerate(targets):
        classes = each.gt_classes if each.has("gt_classes") else None
        if classes is None or classes.device.type != "cpu" or not classes.numel():
            continue
        if (highest := int(classes.max())) >= num_classes:
            raise ValueError(
                f"gt_classes: expected values from 0 to {num_classes - 1} for a model with {num_classes} categories, "
                f"found {highest} in image {index} of the batch. Check MODEL.ROI_HEADS.NUM_CLASSES (for RetinaNet and "
                "FCOS: MODEL.RETINANET.NUM_CLASSES), and that the class indices of the data begin with 0."
            )
