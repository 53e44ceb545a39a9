"""Define a head of the region proposal network (RPN) for training from scratch."""

from detectron2.modeling.proposal_generator.rpn import RPN_HEAD_REGISTRY, StandardRPNHead
from fvcore.nn.weight_init import c2_msra_fill
from torch import nn


@RPN_HEAD_REGISTRY.register()
class HeInitRPNHead(StandardRPNHead):
    """Detectron2's RPN head with He initialization of the hidden convolutions.

    Detectron2 initializes the weights of these convolutions with a standard deviation of 0.01, which suits a
    pre-trained backbone with 256 channels. In a small network trained from scratch, this initialization gives small
    activations, so that the RPN may not learn for hundreds of iterations.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in self.conv.modules():
            if isinstance(layer, nn.Conv2d):
                c2_msra_fill(layer)
