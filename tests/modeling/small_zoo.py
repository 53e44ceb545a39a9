"""Provide Detectron2's configs with narrow layers and few proposals, for fast tests on a CPU."""

from detectron2 import model_zoo
from detectron2.config import CfgNode, get_cfg

from seesaw_d2 import add_seesaw_config
from tests.modeling.tiny import NUM_CLASSES

_NARROW: dict[str, object] = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.RESNETS.NORM": "BN",
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 4,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 8,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
    "MODEL.FPN.OUT_CHANNELS": 8,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 20,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 4,
    "MODEL.ROI_HEADS.NUM_CLASSES": NUM_CLASSES,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 8,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 8,
    "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS": (8, 8),
    "TEST.DETECTIONS_PER_IMAGE": 4,
    "INPUT.MASK_FORMAT": "bitmask",
}


def small_zoo_config(name: str, *overrides, add=None) -> CfgNode:
    """Return a config of Detectron2's model zoo with this project's keys.

    Args:
        name: such as "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml".
        overrides: KEY, VALUE, ...
        add: function that adds the keys of a project, in place.
    """
    cfg = get_cfg()
    add_seesaw_config(cfg)
    if add is not None:
        add(cfg)
    cfg.merge_from_file(model_zoo.get_config_file(name))
    cfg.merge_from_list([word for pair in _NARROW.items() for word in pair] + list(overrides))
    return cfg
