"""The waits of one training step that are known, by file and function. A new one makes tests/pretend_cuda fail."""

# In seesaw_d2 none: scalars are collected on the device. In Detectron2 v0.6, two images:
MASK_RCNN = {
    "layers/nms.py:batched_nms": 2,
    "layers/wrappers.py:nonzero_tuple": 15,
    "modeling/box_regression.py:_dense_box_regression_loss": 2,
    "modeling/box_regression.py:get_deltas": 3,
    "modeling/matcher.py:__call__": 4,
    "modeling/poolers.py:convert_boxes_to_pooler_format": 2,
    "modeling/proposal_generator/proposal_utils.py:find_top_rpn_proposals": 4,
    "modeling/proposal_generator/rpn.py:losses": 4,
    "modeling/roi_heads/mask_head.py:mask_rcnn_loss": 4,
    "modeling/roi_heads/roi_heads.py:label_and_sample_proposals": 2,
    "modeling/roi_heads/roi_heads.py:select_foreground_proposals": 2,
    "structures/boxes.py:clip": 2,
}
CASCADE = MASK_RCNN | {
    "layers/wrappers.py:nonzero_tuple": 25,
    "modeling/box_regression.py:get_deltas": 5,
    "modeling/matcher.py:__call__": 12,
    "modeling/poolers.py:convert_boxes_to_pooler_format": 6,
    "modeling/roi_heads/cascade_rcnn.py:_match_and_label_boxes": 4,
    "modeling/roi_heads/mask_head.py:mask_rcnn_loss": 12,
    "modeling/roi_heads/roi_heads.py:select_foreground_proposals": 6,
    "structures/boxes.py:__getitem__": 4,
    "structures/boxes.py:clip": 6,
}
STEP = {"mask_rcnn": MASK_RCNN, "norm_mask": MASK_RCNN, "cascade": CASCADE, "pcb": MASK_RCNN}
# Copies from the host to the device in such a step, for which a GPU makes the host wait, too.
COPIES = {
    "layers/nms.py:batched_nms",
    "layers/wrappers.py:shapes_to_tensor",
    "modeling/meta_arch/rcnn.py:<listcomp>",
    "modeling/roi_heads/mask_head.py:mask_rcnn_loss",
    "structures/boxes.py:to",
    "structures/instances.py:to",
    "structures/masks.py:to",
}
