"""List the known GPU synchronizations of a training step, by file and function. Tests fail for unlisted ones.

The numbers are for a step with two images and Detectron2 v0.6. Each additional image adds only the synchronization of
its non-maximum suppression. With Detectron2's own RPN, sampling, pooling and mask loss, a step has 46 synchronizations
(Mask R-CNN) or 94 (Cascade R-CNN), and each additional image adds 14 or 26.
"""

MASK_RCNN = {
    "detectron2/layers/nms.py:batched_nms": 2,
    "detectron2/layers/wrappers.py:nonzero_tuple": 1,
    "detectron2/modeling/box_regression.py:get_deltas": 2,
    # For samples and proposals of the RPN, for samples of the heads, and for the levels of boxes and masks.
    "seesaw_d2/modeling/fewer_gpu_syncs/indices.py:read": 5,
    "seesaw_d2/modeling/fewer_gpu_syncs/foreground.py:foreground": 1,
    "seesaw_d2/modeling/fewer_gpu_syncs/rpn.py:losses": 2,
}
CASCADE = MASK_RCNN | {
    "detectron2/layers/wrappers.py:nonzero_tuple": 3,
    "detectron2/modeling/box_regression.py:get_deltas": 4,
    "seesaw_d2/modeling/fewer_gpu_syncs/indices.py:read": 11,
    "seesaw_d2/modeling/fewer_gpu_syncs/foreground.py:foreground": 3,
}
STEP = {"mask_rcnn": MASK_RCNN, "norm_mask": MASK_RCNN, "cascade": CASCADE, "pcb": MASK_RCNN, "loce": MASK_RCNN}
# Copies from the host to the device in a step. On a GPU, the host waits for these copies, too.
COPIES = {
    "detectron2/layers/nms.py:batched_nms",
    "detectron2/modeling/meta_arch/rcnn.py:<listcomp>",
    "detectron2/modeling/meta_arch/rcnn.py:preprocess_image",  # name of the same function from Python 3.12 on
    "detectron2/structures/boxes.py:to",
    "detectron2/structures/instances.py:to",
    "detectron2/structures/masks.py:to",
}
