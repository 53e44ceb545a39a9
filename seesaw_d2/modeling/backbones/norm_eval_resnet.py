"""Define a ResNet-FPN with fixed means and variances in batch normalization, as in MMDetection with ``norm_eval``."""

from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.fpn import build_resnet_fpn_backbone
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.declared_keys import reads


class FixedStatisticsBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization with trainable weight and bias, but fixed mean and variance.

    Source: MMDetection's ResNet with ``norm_eval=True`` and ``norm_cfg=dict(type="BN", requires_grad=True)``, as in
    MMDetection's Seesaw Loss configs. In Detectron2's FrozenBatchNorm2d, weight and bias are fixed, too.
    """

    # State dicts of this layer contain this version number. From a state dict with a lower number, FrozenBatchNorm2d in
    # some versions of Detectron2 would load the variance minus eps.
    _version = 3

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.eval()

    def train(self, mode: bool = True):
        return super().train(False)


@BACKBONE_REGISTRY.register()
@reads("MODEL.RESNETS.*", "MODEL.FPN.*", "MODEL.BACKBONE.FREEZE_AT")
def build_norm_eval_resnet_fpn_backbone(cfg, input_shape):
    """Build Detectron2's ResNet-FPN backbone with fixed means and variances in batch normalization.

    Stages up to ``MODEL.BACKBONE.FREEZE_AT`` are frozen, as in Detectron2. In the other stages, ``MODEL.RESNETS.NORM``
    determines whether the weight and bias of batch normalization are trained ("BN", with weight decay
    SOLVER.WEIGHT_DECAY_NORM) or fixed ("FrozenBN").

    Raises:
        ConfigError: ``MODEL.RESNETS.NORM`` is neither "BN" nor "FrozenBN".
    """
    norm = cfg.MODEL.RESNETS.NORM
    if norm not in ("BN", "FrozenBN"):
        raise ConfigError(
            f"MODEL.RESNETS.NORM: expected BN or FrozenBN with MODEL.BACKBONE.NAME {cfg.MODEL.BACKBONE.NAME}, found "
            f"{norm!r}"
        )
    backbone = build_resnet_fpn_backbone(cfg, input_shape)
    fix_statistics(backbone.bottom_up)
    return backbone


def fix_statistics(module: nn.Module) -> None:
    """Replace each ``nn.BatchNorm2d`` in ``module`` by a FixedStatisticsBatchNorm2d with the same values, in place."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                fixed = FixedStatisticsBatchNorm2d(child.num_features, child.eps, child.momentum)
                fixed.load_state_dict(child.state_dict())
                setattr(parent, name, fixed)
