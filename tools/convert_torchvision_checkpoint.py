#!/usr/bin/env python
r"""Convert torchvision's Mask R-CNN (ResNet-50, FPN, trained on COCO) into a start for a training.

    python tools/convert_torchvision_checkpoint.py maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth output/start.pth \
        --config-file C
    python train_net.py --config-file C MODEL.WEIGHTS output/start.pth

The layers that have rows for categories are left out and start anew, unless --keep-classes asks for COCO's. No code in
the file is run. docs/published-models.md says what equals torchvision's model and what does not.
"""

import argparse
import sys

from command_line import command, parser_of


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("checkpoint", help="torchvision's .pth file")
    parser.add_argument("output", help="the .pth file to write")
    parser.add_argument("--config-file", required=True, help="of the model that is to start from it")
    parser.add_argument("--keep-classes", action="store_true", help="COCO's classifier, boxes and masks too")
    parser.add_argument("--eps", type=float, default=0.0, help="of its batch normalization; published weights have 0")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ... on top of the config")
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
    print(f"written to {args.output}" + (f"; these start anew: {', '.join(anew)}" if anew else "; it has everything"))


if __name__ == "__main__":
    sys.exit(main())
