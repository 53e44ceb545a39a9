"""Reject meta-architectures, heads, losses and precomputed proposals that this project does not support."""

from detectron2.config import CfgNode
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    ROI_HEADS_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
    GeneralizedRCNN,
    PanopticFPN,
    ProposalNetwork,
    SemanticSegmentor,
)
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.modeling.roi_heads import CascadeROIHeads, Res5ROIHeads
from detectron2.modeling.roi_heads.rotated_fast_rcnn import RROIHeads
from fvcore.common.registry import Registry

from seesaw_d2.data.images.semantic_mapper import has_semantic_head
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.build import check_loss_config
from seesaw_d2.modeling.building import own_program
from seesaw_d2.modeling.classifier_checks import check_classifier_config
from seesaw_d2.modeling.heads_checks import check_box_head, check_heads_config
from seesaw_d2.modeling.image_classifier import ImageClassifier
from seesaw_d2.modeling.one_stage import SigmoidDetector
from seesaw_d2.modeling.one_stage_loss import check_sigmoid_config
from seesaw_d2.modeling.roi_heads import GlobalMaskLosses
from seesaw_d2.modeling.semantic_head import SeesawSemSegFPNHead, check_semantic_config

_KEY = "MODEL.META_ARCHITECTURE"
# With this value of this config key, Detectron2 loads proposals from files. The check of the key must allow the value,
# although it is not in Detectron2's registry of proposal generators.
PRECOMPUTED = ("MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals")


def check_architecture(cfg: CfgNode) -> None:
    """Raise ConfigError if this project cannot train META_ARCHITECTURE with the ROI heads of the config.

    Args:
        cfg: a config whose META_ARCHITECTURE is registered.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    architecture = META_ARCH_REGISTRY.get(name)
    heads = cfg.MODEL.ROI_HEADS.NAME
    found = _registered(ROI_HEADS_REGISTRY, heads)
    ours = _is(found, GlobalMaskLosses)
    if _is(architecture, SigmoidDetector):
        return
    if _is(architecture, (ProposalNetwork, DenseDetector)) and (ours or not cfg.MODEL.ROI_BOX_HEAD.NAME):
        raise ConfigError(
            f"{_KEY}: expected GeneralizedRCNN, LongTailRetinaNet or LongTailFCOS, found {name!r}. {name} does not use "
            f"MODEL.ROI_HEADS.NAME {heads}, and has no classification loss of this project."
        )
    weight = cfg.MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT
    if _is(architecture, PanopticFPN) and _is(found, CascadeROIHeads) and weight != 1:
        raise ConfigError(
            f"MODEL.PANOPTIC_FPN.INSTANCE_LOSS_WEIGHT: expected 1.0 with MODEL.ROI_HEADS.NAME {heads}, found {weight}. "
            "Detectron2 does not apply this weight to cascades. Set MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS "
            "instead."
        )
    for key, found_on in {
        "MODEL.MASK_ON": cfg.MODEL.MASK_ON,
        "MODEL.PANOPTIC_FPN.COMBINE.ENABLED": cfg.MODEL.PANOPTIC_FPN.COMBINE.ENABLED,
    }.items():
        if _is(architecture, PanopticFPN) and not found_on:
            raise ConfigError(
                f"{key}: expected True with {_KEY} {name}, found False. {name} draws the predicted instance masks on "
                "the semantic segmentation."
            )
    if _is(found, RROIHeads):
        raise ConfigError(
            f"MODEL.ROI_HEADS.NAME: expected heads for axis-aligned boxes, found {heads!r}. For rotated boxes, use "
            "SeesawPredictors in Detectron2's own programs (docs/downstream.md)."
        )
    if ours and not _is(architecture, (SemanticSegmentor, ImageClassifier)):  # these two have no ROI heads
        with own_program():
            check_heads_config(cfg)
    elif _is(architecture, GeneralizedRCNN) and _is(found, Res5ROIHeads):
        check_box_head(cfg)


def check_classification(cfg: CfgNode) -> None:
    """Raise ConfigError if the loss, its parameters or the last layer of the classifier are invalid for the model.

    The function reads no data. Building the model raises errors that depend on the training set.

    Args:
        cfg: a config whose META_ARCHITECTURE is registered.
    """
    model = cfg.MODEL
    architecture = META_ARCH_REGISTRY.get(model.META_ARCHITECTURE)
    if _is(architecture, SigmoidDetector):
        check_sigmoid_config(cfg)
        check_loss_config(cfg, model.RETINANET.NUM_CLASSES)
        return
    if _is(architecture, ImageClassifier):
        check_classifier_config(model.ROI_BOX_HEAD)
        check_loss_config(cfg, model.CLASSIFIER.NUM_CLASSES, has_background=False)
        return
    head = _registered(SEM_SEG_HEADS_REGISTRY, model.SEM_SEG_HEAD.NAME)
    if has_semantic_head(cfg) and _is(head, SeesawSemSegFPNHead):
        with own_program():
            check_semantic_config(cfg)
        check_loss_config(cfg, model.SEM_SEG_HEAD.NUM_CLASSES, has_background=False)
    heads = _registered(ROI_HEADS_REGISTRY, model.ROI_HEADS.NAME)
    if _is(heads, GlobalMaskLosses) and not _is(architecture, SemanticSegmentor):
        check_classifier_config(model.ROI_BOX_HEAD)
        check_loss_config(cfg, model.ROI_HEADS.NUM_CLASSES)


def check_proposals(cfg: CfgNode) -> None:
    """Raise ConfigError if keys for precomputed proposals contradict each other, or not each dataset has one file."""
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    key, name = PRECOMPUTED
    found = cfg.MODEL.PROPOSAL_GENERATOR.NAME
    if _is(architecture, PanopticFPN) and (found == name or cfg.MODEL.LOAD_PROPOSALS):
        raise ConfigError(
            f"MODEL.LOAD_PROPOSALS: {_KEY} {cfg.MODEL.META_ARCHITECTURE} does not support precomputed proposals. Set "
            f"this key to False (found {cfg.MODEL.LOAD_PROPOSALS}), and {key} to RPN (found {found})."
        )
    if architecture is not GeneralizedRCNN:
        return
    if (found == name) != cfg.MODEL.LOAD_PROPOSALS:
        raise ConfigError(
            f"MODEL.LOAD_PROPOSALS: expected {found == name} with {key} {found}, found {cfg.MODEL.LOAD_PROPOSALS}. "
            f"Precomputed proposals need both MODEL.LOAD_PROPOSALS True and {key} {name}"
        )
    for part in ("TRAIN", "TEST") if cfg.MODEL.LOAD_PROPOSALS else ():
        files, names = cfg.DATASETS[f"PROPOSAL_FILES_{part}"], cfg.DATASETS[part]
        if len(files) != len(names):
            raise ConfigError(
                f"DATASETS.PROPOSAL_FILES_{part}: expected {len(names)} files, one for each dataset in "
                f"DATASETS.{part}, found {len(files)} files"
            )


def _registered(registry: Registry, name: str) -> object:
    """Return the component that is registered as ``name``, or None. Another check rejects unknown names."""
    return registry.get(name) if name in registry else None


def _is(found: object, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(found, type) and issubclass(found, kinds)
