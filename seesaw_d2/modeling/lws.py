"""Classifier with learnable weight scaling.

Shapes: R regions, D input features, L logits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LWSLinear(nn.Linear):
    """Linear layer z = (f ⊙ W) x + b in which only the scale f, one number per logit, is learned.

    Learnable weight scaling (Kang et al., ICLR 2020, section 4): w̃_i = f_i · w_i, where w_i are the weights of a
    trained classifier, with frozen features. Reference: eqlv2, mmdet/models/roi_heads/bbox_heads/lws_layer.py, with the
    same results. As there, the bias is not scaled, and background has a scale, too. Weight and bias require no
    gradient, independently of ``MODEL.FREEZE``.

    ``weight`` and ``bias`` in the state dict are those of ``nn.Linear``, so that the checkpoint of a linear classifier
    can be loaded. Only ``weight_scaler`` is new.

    Args:
        in_features: D.
        out_features: L.
        bias: whether the layer has a bias b.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True):
        super().__init__(in_features, out_features, bias=bias)
        # f, (L, 1). It starts at 1, which gives the trained classifier.
        self.weight_scaler = nn.Parameter(torch.ones(out_features, 1))
        self.weight.requires_grad_(False)
        if bias:
            self.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (R, L) for x (R, D)."""
        return F.linear(x, self.weight * self.weight_scaler, self.bias)
