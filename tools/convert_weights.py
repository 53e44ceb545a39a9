#!/usr/bin/env python
"""Convert weights between PyTorch files (.pth), pickles (.pkl, read only) and safetensors.

    python tools/convert_weights.py output/quickstart/model_final.pth output/model.safetensors
    python tools/convert_weights.py output/model.safetensors output/model.pth
    python tools/convert_weights.py detectron2://ImageNetPretrained/MSRA/R-50.pkl output/R-50.safetensors

MODEL.WEIGHTS accepts all of these formats. The program converts only the weights. A training cannot resume from the
output, because the output contains no iteration and no states of the optimizer and the random generators.
"""

import sys

from command_line import command, parser_of


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("input", help="path or address of the weights, as in MODEL.WEIGHTS")
    parser.add_argument("output", help=".safetensors or .pth file to write, which must not exist")
    args = parser.parse_args(arguments)
    from seesaw_d2.weights.format_conversion import convert_weights

    count, left = convert_weights(args.input, args.output)
    print(f"{count} tensors written to {args.output}" + (f". Not converted: {', '.join(left)}" if left else ""))


if __name__ == "__main__":
    sys.exit(main())
