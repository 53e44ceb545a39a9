#!/usr/bin/env python
"""Convert weights between PyTorch's files (.pth), pickles (.pkl, read only) and safetensors, which hold no code.

    python tools/convert_weights.py output/quickstart/model_final.pth output/model.safetensors
    python tools/convert_weights.py output/model.safetensors output/model.pth
    python tools/convert_weights.py detectron2://ImageNetPretrained/MSRA/R-50.pkl output/R-50.safetensors

MODEL.WEIGHTS takes all of them. Only the weights are converted: optimizer, iteration and random states, which a resume
needs, stay behind.
"""

import sys

from command_line import command, parser_of


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("input", help="a file of weights, or an address that MODEL.WEIGHTS takes")
    parser.add_argument("output", help="the .safetensors or .pth file to write; it must not exist")
    args = parser.parse_args(arguments)
    from seesaw_d2.weights.format_conversion import convert_weights

    count, left = convert_weights(args.input, args.output)
    print(f"{count} tensors written to {args.output}" + (f"; left behind: {', '.join(left)}" if left else ""))


if __name__ == "__main__":
    sys.exit(main())
