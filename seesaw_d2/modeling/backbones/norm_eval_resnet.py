"""ResNet with FPN whose batch normalization keeps its pre-trained statistics, as in MMDetection's ``norm_eval``."""

from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.fpn import build_resnet_fpn_backbone
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.declared_keys import reads


class FixedStatisticsBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization with given mean and variance, in training too; weight and bias are trained.

    Source: MMDetection's ResNet with ``norm_eval=True`` and ``norm_cfg=dict(type="BN", requires_grad=True)``, which all
    of its Seesaw Loss configs have. Detectron2's FrozenBatchNorm2d fixes weight and bias as well.
    """

    # That of FrozenBatchNorm2d, which takes eps off the variance of files with a lower version.
    _version = 3

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.eval()

    def train(self, mode: bool = True):
        return super().train(False)


@BACKBONE_REGISTRY.register()
@reads("MODEL.RESNETS.*", "MODEL.FPN.*", "MODEL.BACKBONE.FREEZE_AT")
def build_norm_eval_resnet_fpn_backbone(cfg, input_shape):
    """Detectron2's ``build_resnet_fpn_backbone``, its batch normalization with fixed statistics.

    The stages up to ``MODEL.BACKBONE.FREEZE_AT`` are frozen whole, as in Detectron2. ``MODEL.RESNETS.NORM`` "BN"
    trains weight and bias in the others (with the decay SOLVER.WEIGHT_DECAY_NORM); "FrozenBN" does not.

    Raises:
        ConfigError: another ``MODEL.RESNETS.NORM``.
    """
    norm = cfg.MODEL.RESNETS.NORM
    if norm not in ("BN", "FrozenBN"):
        raise ConfigError(f"MODEL.RESNETS.NORM: expected BN or FrozenBN with {cfg.MODEL.BACKBONE.NAME}, found {norm!r}")
    backbone = build_resnet_fpn_backbone(cfg, input_shape)
    fix_statistics(backbone.bottom_up)
    return backbone


def fix_statistics(module: nn.Module) -> None:
    """Put FixedStatisticsBatchNorm2d in the place of every ``nn.BatchNorm2d`` below ``module``; state is kept."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                fixed = FixedStatisticsBatchNorm2d(child.num_features, child.eps, child.momentum)
                fixed.load_state_dict(child.state_dict())
                setattr(parent, name, fixed)
