"""Train and evaluate the quickstart config on the GPU. If the glyph dataset does not exist, first generate it.

An interrupted training continues from its last checkpoint.
"""

import argparse
import os
import sys

from seesaw_d2.data.synthetic import GlyphConfig, make_glyphs
from seesaw_d2.train import main as train

CONFIG = "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, help="folder of the run")
    parser.add_argument("--device", default="cuda", help="MODEL.DEVICE (default: cuda)")
    parser.add_argument("overrides", nargs="*", help="config overrides KEY VALUE ...")
    args = parser.parse_args()
    make_glyphs("datasets/glyphs", GlyphConfig())
    resume = ["--resume"] if os.path.isdir(args.output) else []
    overrides = ["MODEL.DEVICE", args.device, "OUTPUT_DIR", args.output, *args.overrides]
    return train(["--config-file", CONFIG, *resume, *overrides])


if __name__ == "__main__":
    sys.exit(main())
