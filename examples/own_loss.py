#!/usr/bin/env python
r"""Train with your own loss, cross-entropy of logits that are multiplied by a constant factor.

The arguments are ``--factor`` and those of train_net.py:

python own_loss.py --factor 4 --config-file ../configs/digits/ce.yaml OUTPUT_DIR out \
    MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME ScaledCrossEntropyLoss
"""

import sys
from typing import ClassVar

from torch import Tensor

import seesaw_d2
from seesaw_d2.arguments import argument_parser, parse_arguments
from seesaw_d2.losses import CrossEntropyLoss
from seesaw_d2.losses.build import LOSS_REGISTRY


@LOSS_REGISTRY.register()  # CLS_LOSS.NAME can now name this class
class ScaledCrossEntropyLoss(CrossEntropyLoss):
    """Cross-entropy of logits that are multiplied by ``factor``. The scores are computed from the same products."""

    factor = 1.0  # the same for all models of this program
    soft_labels = None  # PairwiseClassBalance cannot wrap it
    score_options: ClassVar = {"factor": 1.0}  # checkpoints record factors other than 1, because they change the scores

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits (R, K) of R proposals for K classes, times ``factor``."""
        return self.factor * logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores (N, C + 1) of N proposals for C categories and background."""
        return super().probabilities(self.factor * logits)


if __name__ == "__main__":
    parser = argument_parser()
    parser.add_argument("--factor", type=float, default=1.0, help="factor of the logits (default: 1)")
    args = parse_arguments(parser)
    ScaledCrossEntropyLoss.factor = args.factor
    seesaw_d2.register()
    from seesaw_d2.train.command_line import start

    sys.exit(start(args))
