#!/usr/bin/env python
r"""Convert a trained image classifier to a nearest-class-mean classifier (NCM; Kang et al., ICLR 2020, section 4.2).

    python tools/nearest_class_mean.py output/digits/ce/model_final.pth output/digits/ncm/model_final.pth \
        --config-file configs/digits/ncm.yaml
    python train_net.py --config-file configs/digits/ncm.yaml --eval-only \
        MODEL.WEIGHTS output/digits/ncm/model_final.pth

The program replaces the weight of each class in the last layer by the mean feature of its training images. The config
must set MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME to NormedLinear, which classifies by cosine similarity.
"""

import argparse
import sys
from pathlib import Path

from command_line import command, parser_of


def argument_parser() -> argparse.ArgumentParser:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", help=".pth file of a trained image classifier")
    parser.add_argument("output", type=Path, help=".pth file to write")
    parser.add_argument("--config-file", required=True, help="config of the new classifier")
    parser.add_argument("opts", nargs="*", help="config overrides KEY VALUE ...")
    return parser


@command
def main(arguments=None) -> None:
    args = argument_parser().parse_intermixed_args(arguments)
    from seesaw_d2.errors import ConfigError
    from seesaw_d2.train import load_config
    from seesaw_d2.train.preflight.keys import written_layers
    from seesaw_d2.weights.class_means import class_mean_checkpoint

    if "MODEL.WEIGHTS" in args.opts[::2]:
        raise ConfigError(f"MODEL.WEIGHTS: expected no override, because the argument checkpoint is {args.checkpoint}")
    overrides = ["MODEL.WEIGHTS", args.checkpoint, *args.opts]
    class_mean_checkpoint(
        load_config(args.config_file, overrides), args.output, written_layers(args.config_file, overrides)
    )
    print(f"wrote {args.output}")


if __name__ == "__main__":
    sys.exit(main())
