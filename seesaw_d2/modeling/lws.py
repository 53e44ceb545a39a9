"""Define a linear classifier with learnable weight scaling (LWS), which trains only a scale for each logit."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LWSLinear(nn.Linear):
    """Linear layer z = (f ⊙ W) x + b with a frozen weight W, a frozen bias b and a trainable scale f for each logit.

    Source: learnable weight scaling (Kang et al., ICLR 2020, section 4), w̃_i = f_i · w_i, where w_i are the weights of
    a trained classifier. To freeze the rest of the model, too, set ``MODEL.FREEZE``.

    Reference: github tztztztztz/eqlv2, mmdet/models/roi_heads/bbox_heads/lws_layer.py. The results equal those of the
    reference. The weights of all logits are scaled, including background. The bias is not scaled.

    In the state dict, ``weight`` and ``bias`` have the same names as in ``nn.Linear``, so that the layer can load the
    checkpoint of a linear classifier. The name of f is ``weight_scaler``.

    Args:
        in_features: number of input features.
        out_features: number of logits.
        bias: whether the layer has a bias b.
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True):
        super().__init__(in_features, out_features, bias=bias)
        # The initial scale of each logit is 1, so that the layer initially equals the trained classifier.
        self.weight_scaler = nn.Parameter(torch.ones(out_features, 1))
        self.weight.requires_grad_(False)
        if bias:
            self.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (R, out_features), of R regions with the features ``x``, (R, in_features)."""
        return F.linear(x, self.weight * self.weight_scaler, self.bias)
