"""What can be exported. The rest is refused by its name before anything is computed or written."""

from detectron2.config import CfgNode
from detectron2.layers import DeformConv, ModulatedDeformConv, ROIAlign
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.proposal_generator.rrpn import RRPN
from detectron2.modeling.roi_heads import StandardROIHeads
from torch import nn

from seesaw_d2.engine.predictor import DTYPES
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import ImageClassifier

FORMATS = ("torchscript", "onnx")


def check_options(file_format: str, dtype: str) -> None:
    """Raise ConfigError unless there is such a format, and the type goes with it."""
    for name, value, known in (("--format", file_format, FORMATS), ("--dtype", dtype, tuple(DTYPES))):
        if value not in known:
            raise ConfigError(f"{name}: expected one of {', '.join(known)}, found {value!r}")
    if file_format == "onnx" and dtype != "float32":
        raise ConfigError(
            f"--dtype: expected float32 with --format onnx, found {dtype}: autocast's choice of layers is PyTorch's; "
            "onnxconverter-common and the tools of onnxruntime make half-precision models of the file"
        )


def check_exportable(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ConfigError, by the config key, for a model of which a part cannot be exported."""
    if cfg.TEST.AUG.ENABLED:
        raise ConfigError("TEST.AUG.ENABLED: expected False, as a graph has no test-time augmentation, found True")
    if isinstance(model, ImageClassifier):
        return
    if not isinstance(model, GeneralizedRCNN):
        raise _refusal("MODEL.META_ARCHITECTURE", "GeneralizedRCNN or ImageClassifier", cfg.MODEL.META_ARCHITECTURE)
    generator = model.proposal_generator
    if not isinstance(generator, RPN) or isinstance(generator, RRPN):
        raise _refusal("MODEL.PROPOSAL_GENERATOR.NAME", "RPN", cfg.MODEL.PROPOSAL_GENERATOR.NAME)
    if not isinstance(model.roi_heads, StandardROIHeads):
        expected = "a StandardROIHeads (SeesawROIHeads, SeesawCascadeROIHeads and IterativeROIHeads are such)"
        raise _refusal("MODEL.ROI_HEADS.NAME", expected, cfg.MODEL.ROI_HEADS.NAME)
    if model.roi_heads.keypoint_on:
        raise _refusal("MODEL.KEYPOINT_ON", "False", "True")
    _check_layers(model)


def _check_layers(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, (DeformConv, ModulatedDeformConv)):
            raise _refusal("MODEL.RESNETS.DEFORM_ON_PER_STAGE", "no deformable convolution", f"{name} in the model")
        if isinstance(module, ROIPooler):
            for pooler in module.level_poolers:
                if not isinstance(pooler, ROIAlign):
                    key = f"MODEL.{'ROI_MASK_HEAD' if 'mask' in name else 'ROI_BOX_HEAD'}.POOLER_TYPE"
                    raise _refusal(key, "ROIAlign or ROIAlignV2", type(pooler).__name__)


def _refusal(key: str, expected: str, found: str) -> ConfigError:
    return ConfigError(f"{key}: cannot be exported: expected {expected}, found {found}")
