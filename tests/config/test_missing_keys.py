"""Test that a config without the keys of ``add_seesaw_config`` raises an error that names this function."""

import pytest
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, ROI_HEADS_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.roi_heads import ROI_MASK_HEAD_REGISTRY

from seesaw_d2 import data
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation import ClassificationEvaluator, LongTailEvaluator
from seesaw_d2.evaluation.semantic_evaluator import SemanticEvaluator
from seesaw_d2.modeling import SeesawBoxPredictor

REGISTRIES = {
    META_ARCH_REGISTRY: (),
    BACKBONE_REGISTRY: (ShapeSpec(channels=3),),
    ROI_HEADS_REGISTRY: ({"res4": ShapeSpec(channels=1024, stride=16)},),
    ROI_MASK_HEAD_REGISTRY: (ShapeSpec(channels=8, width=14, height=14),),
    SEM_SEG_HEADS_REGISTRY: ({"p2": ShapeSpec(channels=8, stride=4)},),
}
# These components read only Detectron2's keys.
WITHOUT_OWN_KEYS = ("SelectiveMaskHead", "build_norm_eval_resnet_fpn_backbone")
CASES = {
    name: (component, rest)
    for registry, rest in REGISTRIES.items()
    for name, component in registry
    if component.__module__.startswith("seesaw_d2.") and name not in WITHOUT_OWN_KEYS
} | {
    "SeesawBoxPredictor": (SeesawBoxPredictor, (ShapeSpec(channels=8, width=1, height=1),)),
    "register_datasets": (data.register_datasets, ()),
    "provide_names": (data.provide_names, ()),
    "build_train_loader": (data.build_train_loader, ()),
    "build_test_loader": (data.build_test_loader, ("coco_2017_val",)),
    "load_training_dicts": (data.load_training_dicts, ()),
    "training_frequency_groups": (data.training_frequency_groups, ()),
    "ClassificationMapper": (data.ClassificationMapper, (True,)),
    "LongTailEvaluator": (LongTailEvaluator, ("coco_2017_val",)),
    "ClassificationEvaluator": (ClassificationEvaluator, ("coco_2017_val",)),
    "SemanticEvaluator": (SemanticEvaluator, ("coco_2017_val",)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_config_without_the_keys_of_this_project(name):
    component, rest = CASES[name]
    cfg = get_cfg()
    if name in ROI_HEADS_REGISTRY:
        cfg.MODEL.ROI_HEADS.NAME = name
    with pytest.raises(ConfigError, match=r"^\w+(\.\w+)+: .*add_seesaw_config\(cfg\)"):
        component(cfg, *rest)
