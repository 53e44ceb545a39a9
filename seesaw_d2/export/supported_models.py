"""Check that a model can be exported, before the export starts."""

from detectron2.config import CfgNode
from detectron2.layers import DeformConv, ModulatedDeformConv, ROIAlign
from detectron2.modeling import GeneralizedRCNN, PanopticFPN
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.proposal_generator.rrpn import RRPN
from detectron2.modeling.roi_heads import StandardROIHeads
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import ImageClassifier
from seesaw_d2.predict.predictor import DTYPES

FORMATS = ("torchscript", "onnx")
MAX_ONNX_BYTES = 2**31  # protobuf, the format of ONNX files, does not support larger files


def check_options(file_format: str, dtype: str) -> None:
    """Raise ConfigError if the file format or the dtype is unknown, or if the format does not support the dtype."""
    for name, value, known in (("--format", file_format, FORMATS), ("--dtype", dtype, tuple(DTYPES))):
        if value not in known:
            raise ConfigError(f"{name}: expected one of {', '.join(known)}, found {value!r}")
    if file_format == "onnx" and dtype == "bfloat16":
        raise ConfigError(
            "--dtype: expected float32 or float16 with --format onnx, found bfloat16. The exported model is compared "
            "with the original on the CPU, where onnxruntime has no bfloat16 convolution."
        )


def check_exportable(cfg: CfgNode, model: nn.Module, file_format: str = "torchscript") -> None:
    """Raise ConfigError if the model, or one of its modules, cannot be exported. The message names the config key."""
    if file_format == "onnx":
        _check_size(model)
    if cfg.TEST.AUG.ENABLED:
        raise _refusal("TEST.AUG.ENABLED", "False", "True")
    if isinstance(model, ImageClassifier):
        return
    if not isinstance(model, GeneralizedRCNN) or isinstance(model, PanopticFPN):
        raise _refusal("MODEL.META_ARCHITECTURE", "GeneralizedRCNN or ImageClassifier", cfg.MODEL.META_ARCHITECTURE)
    generator = model.proposal_generator
    if not isinstance(generator, RPN) or isinstance(generator, RRPN):
        raise _refusal("MODEL.PROPOSAL_GENERATOR.NAME", "RPN", cfg.MODEL.PROPOSAL_GENERATOR.NAME)
    if not isinstance(model.roi_heads, StandardROIHeads):
        expected = "a subclass of StandardROIHeads, such as SeesawROIHeads or SeesawCascadeROIHeads"
        raise _refusal("MODEL.ROI_HEADS.NAME", expected, cfg.MODEL.ROI_HEADS.NAME)
    if model.roi_heads.keypoint_on:
        raise _refusal("MODEL.KEYPOINT_ON", "False", "True")
    for key, overlap in {
        "MODEL.RPN.NMS_THRESH": cfg.MODEL.RPN.NMS_THRESH,
        "MODEL.ROI_HEADS.NMS_THRESH_TEST": cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST,
    }.items():
        if file_format == "onnx" and not 0 <= overlap <= 1:
            raise _refusal(key, "an IoU in [0, 1] with --format onnx", str(overlap))
    _check_layers(model)


def _check_size(model: nn.Module) -> None:
    size = sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))
    if size >= MAX_ONNX_BYTES:
        raise ConfigError(
            f"--format onnx: expected weights of less than {MAX_ONNX_BYTES / 2**30:.0f} GiB, the limit of the "
            f"format, found weights of {size / 2**30:.1f} GiB. Use --format torchscript, which has no limit."
        )


def _check_layers(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, (DeformConv, ModulatedDeformConv)):
            raise _refusal("MODEL.RESNETS.DEFORM_ON_PER_STAGE", "no deformable convolution", name)
        if isinstance(module, ROIPooler):
            for pooler in module.level_poolers:
                if not isinstance(pooler, ROIAlign):
                    key = f"MODEL.{'ROI_MASK_HEAD' if 'mask' in name else 'ROI_BOX_HEAD'}.POOLER_TYPE"
                    raise _refusal(key, "ROIAlign or ROIAlignV2", type(pooler).__name__)


def _refusal(key: str, expected: str, found: str) -> ConfigError:
    return ConfigError(f"{key}: expected {expected}, found {found}. Models with other settings cannot be exported.")
