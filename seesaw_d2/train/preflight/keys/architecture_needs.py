"""Define the config keys that only certain meta-architectures read."""

from collections.abc import Callable, Iterator

from detectron2.config import CfgNode
from detectron2.modeling import (
    META_ARCH_REGISTRY,
    GeneralizedRCNN,
    PanopticFPN,
    ProposalNetwork,
    RetinaNet,
    SemanticSegmentor,
)
from detectron2.modeling.meta_arch.dense_detector import DenseDetector

from seesaw_d2.config.loading import read_value
from seesaw_d2.modeling.image_classifier import ImageClassifier
from seesaw_d2.modeling.one_stage import SigmoidDetector
from seesaw_d2.train.preflight.keys.components import foreign
from seesaw_d2.train.preflight.keys.need import Need
from seesaw_d2.utils.declared_keys import covered

_BOX_HEAD = "MODEL.ROI_BOX_HEAD"
_BOXES = (GeneralizedRCNN, ProposalNetwork, DenseDetector)
_CLASSIFIERS = (GeneralizedRCNN, SemanticSegmentor, ImageClassifier)
_RETINANET = "MODEL.RETINANET"
_OF_ANCHORS = ("IOU_*", "BBOX_REG_*", "SMOOTH_L1_*")  # FCOS has no anchors, and does not read these keys
_DETECTORS = (*_BOXES, SemanticSegmentor)
# Keys that enable an option. With the value False or 0, these keys are allowed with all meta-architectures.
SWITCHES = ("MODEL.MASK_ON", "MODEL.KEYPOINT_ON", "MODEL.LOAD_PROPOSALS", "TEST.CLASSIFICATION_ACCURACY", "VIS_PERIOD")
# Each pair contains patterns of config keys, and the only meta-architectures that read these keys. If a key matches
# several patterns, the first pair applies.
_KEYS: tuple[tuple[tuple[str, ...], tuple[type, ...]], ...] = (
    ((f"{_BOX_HEAD}.CLS_LOSS.*",), (*_CLASSIFIERS, SigmoidDetector)),
    ((f"{_BOX_HEAD}.CLS_PREDICTOR.*",), _CLASSIFIERS),
    (("MODEL.ROI_HEADS.CALIBRATION.*",), (GeneralizedRCNN, ImageClassifier)),
    (("MODEL.CLASSIFIER.*", "INPUT.CLASSIFICATION.*"), (ImageClassifier,)),
    (("VIS_PERIOD",), (GeneralizedRCNN, RetinaNet)),
    (("MODEL.ROI_*", *SWITCHES), (GeneralizedRCNN,)),
    (("MODEL.PROPOSAL_GENERATOR.*", "MODEL.RPN.*"), (GeneralizedRCNN, ProposalNetwork)),
    (("MODEL.ANCHOR_GENERATOR.*",), (GeneralizedRCNN, ProposalNetwork, RetinaNet)),
    (tuple(f"{_RETINANET}.{name}" for name in _OF_ANCHORS), (RetinaNet,)),
    ((f"{_RETINANET}.*",), (DenseDetector,)),
    (("MODEL.SEM_SEG_HEAD.*",), (PanopticFPN, SemanticSegmentor)),
    (("MODEL.PANOPTIC_FPN.*",), (PanopticFPN,)),
    (("INPUT.RESIZE", "INPUT.MIN_SIZE_*", "INPUT.MAX_SIZE_*"), _DETECTORS),
    (("TEST.LVIS_ENGINE", "TEST.LVIS_METRICS", "TEST.DETECTIONS_PER_IMAGE", "TEST.AUG.*"), _BOXES),
    (("DATALOADER.FILTER_EMPTY_ANNOTATIONS", "DATALOADER.ASPECT_RATIO_GROUPING", "INPUT.CROP.*"), _DETECTORS),
)


def architecture_needs(key: str, *, strict: bool) -> Iterator[Need]:
    """Yield the condition that MODEL.META_ARCHITECTURE must meet, if only certain meta-architectures read a key.

    Args:
        key: full config key, such as "MODEL.RPN.IOU_THRESHOLDS".
        strict: whether the condition must also be met if a ``_BASE_`` sets the key.
    """
    classes = next((classes for patterns, classes in _KEYS if covered(patterns, key)), None)
    if classes:
        names = " or ".join(name for name, each in META_ARCH_REGISTRY if issubclass(each, classes))
        met = _is_one_of(classes)
        off = key in SWITCHES
        yield Need("MODEL.META_ARCHITECTURE", names, lambda cfg: met(cfg) or (off and not read_value(cfg, key)), strict)


def _is_one_of(classes: tuple[type, ...]) -> Callable[[CfgNode], bool]:
    def met(cfg: CfgNode) -> bool:
        name = cfg.MODEL.META_ARCHITECTURE
        if name not in META_ARCH_REGISTRY:
            return True  # another check rejects unknown meta-architectures
        architecture = META_ARCH_REGISTRY.get(name)
        return foreign(architecture) or issubclass(architecture, classes)

    return met
