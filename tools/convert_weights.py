#!/usr/bin/env python
"""Convert weights between PyTorch's files (.pth), pickles (.pkl, read only) and safetensors, which hold no code.

    python tools/convert_weights.py output/quickstart/model_final.pth model.safetensors
    python tools/convert_weights.py model.safetensors model.pth
    python tools/convert_weights.py detectron2://ImageNetPretrained/MSRA/R-50.pkl R-50.safetensors

MODEL.WEIGHTS takes all of them. Only the weights are converted: optimizer, iteration and random states, which a resume
needs, stay behind.
"""

import argparse
import sys


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="a file of weights, or an address that MODEL.WEIGHTS takes")
    parser.add_argument("output", help="the .safetensors or .pth file to write; it must not exist")
    args = parser.parse_args(arguments)
    from seesaw_d2.engine.conversion import convert_weights
    from seesaw_d2.errors import SeesawError

    try:
        count, left = convert_weights(args.input, args.output)
    except SeesawError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} tensors written to {args.output}" + (f"; left behind: {', '.join(left)}" if left else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
