#!/usr/bin/env python
r"""Convert torchvision's Mask R-CNN (ResNet-50, FPN, trained on COCO) into initial weights for training.

    python tools/convert_torchvision_checkpoint.py maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth output/start.pth \
        --config-file C
    python train_net.py --config-file C MODEL.WEIGHTS output/start.pth

The output does not contain the layers that have weights for each category: classifier, box predictor and mask
predictor. In training, these layers start with random initial weights. With --keep-classes, the output contains these
layers. The program runs no code in the checkpoint. docs/published-models.md lists the differences from torchvision's
model.
"""

import argparse
import sys

from command_line import command, conversion_parser


@command
def main(arguments=None) -> None:
    parser = conversion_parser(__doc__, "torchvision's .pth file")
    parser.add_argument("--config-file", required=True, help="config of the model to train")
    parser.add_argument("--keep-classes", action="store_true", help="keep COCO's classifier, box and mask predictors")
    parser.add_argument("--eps", type=float, default=0.0, help="eps of torchvision's batch normalization (default: 0)")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config overrides KEY VALUE ...")
    args = parser.parse_args(arguments)
    from seesaw_d2.weights.converters import convert_torchvision_file

    anew = convert_torchvision_file(
        args.checkpoint,
        args.output,
        args.config_file,
        args.opts,
        keep_classes=args.keep_classes,
        eps=args.eps,
        overwrite=args.overwrite,
    )
    print(f"written to {args.output}")
    print(f"parameters without weights, which keep their initial values: {', '.join(anew) or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
