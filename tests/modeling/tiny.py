"""Provide a tiny detector and tiny batches for fast tests on a CPU."""

import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Boxes, Instances

from seesaw_d2.train import load_config

NUM_CLASSES = 7
SIZE = 64


def tiny_config(*overrides) -> CfgNode:
    """Return the quickstart config with 7 classes, class-specific boxes and masks, small sizes and no options for
    speed."""
    return load_config(
        "configs/quickstart/Base-glyphs.yaml",
        [
            *("MODEL.DEVICE", "cpu", "DATASETS.REGISTER", "[]", "DATASETS.TRAIN", "()", "DATASETS.TEST", "()"),
            *("MODEL.ROI_HEADS.NUM_CLASSES", NUM_CLASSES, "MODEL.SMALL_RESNET.WIDTHS", "[8, 12, 16]"),
            *("MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "16", "MODEL.ROI_MASK_HEAD.CONV_DIM", "8"),
            *("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False", "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK", "False"),
            *("MODEL.CHANNELS_LAST", "False", "MODEL.ROI_ALIGN_GRADIENT", "torchvision"),
            *("SOLVER.OPTIMIZER_IMPLEMENTATION", "auto"),
            *overrides,
        ],
    )


CASCADE = (
    *("MODEL.ROI_HEADS.NAME", "SeesawCascadeROIHeads"),
    *("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "True", "MODEL.RPN.POST_NMS_TOPK_TRAIN", "2000"),
)


def tiny_batch(objects=(2, 1), seed=0) -> list[dict]:
    """Return one image per entry of ``objects``, with that number of objects."""
    generator = torch.Generator().manual_seed(seed)
    batch = []
    for count in objects:
        instances = Instances((SIZE, SIZE))
        corner = torch.randint(0, SIZE // 2, (count, 2), generator=generator).float()
        instances.gt_boxes = Boxes(torch.cat([corner, corner + 24], dim=1))
        instances.gt_classes = torch.randint(0, NUM_CLASSES, (count,), generator=generator)
        masks = torch.zeros(count, SIZE, SIZE, dtype=torch.bool)
        for mask, (x, y) in zip(masks, corner.int().tolist(), strict=True):
            mask[y : y + 24, x : x + 24] = True
        instances.gt_masks = BitMasks(masks)
        image = torch.randint(0, 256, (3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
        batch.append({"image": image, "instances": instances, "height": SIZE, "width": SIZE})
    return batch
