"""The classifier of learnable weight scaling.

Shapes: R regions, D input features, L logits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LWSLinear(nn.Linear):
    """z = (f ⊙ W) x + b, where only the scale f, one number for each logit, is learned.

    Learnable weight scaling (Kang et al., ICLR 2020, section 4): w̃_i = f_i · w_i with the weights w_i of a
    trained classifier, its features fixed as well. Reference: eqlv2, mmdet/models/roi_heads/bbox_heads/
    lws_layer.py; same numbers. As there, the bias is kept and not scaled, and background's row has a scale
    like the categories'. Weight and bias require no gradient here, whatever ``MODEL.FREEZE`` says: learning
    them too would be another method.

    The state's ``weight`` and ``bias`` are those of ``nn.Linear``: a linear classifier's checkpoint loads, and
    only ``weight_scaler`` is new.

    Args:
        in_features: D.
        out_features: L.
        bias: whether there is a b.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True):
        super().__init__(in_features, out_features, bias=bias)
        # f, (L, 1), starts at 1: the trained classifier as it is.
        self.weight_scaler = nn.Parameter(torch.ones(out_features, 1))
        self.weight.requires_grad_(False)
        if bias:
            self.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(R, L) for x (R, D)."""
        return F.linear(x, self.weight * self.weight_scaler, self.bias)
