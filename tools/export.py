#!/usr/bin/env python
r"""Export a trained model to TorchScript or ONNX, and compare the file with the model; see docs/deployment.md.

    python tools/export.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml --format onnx \
        --output output/quickstart/model.onnx --sample-image datasets/glyphs/images/val/000000001201.jpg \
        MODEL.WEIGHTS output/quickstart/model_final.pth
    python tools/export.py --config-file ... --format torchscript --dtype bfloat16 --output output/exported \
        MODEL.WEIGHTS ...

Classes, channel order, sizes and thresholds are in the file's metadata. What cannot be exported is named, and nothing
is written then. ONNX needs the extra "export".
"""

import argparse
import sys

from command_line import command, parser_of


def parse(arguments) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--config-file", required=True, help="of the model")
    parser.add_argument("--format", required=True, help="torchscript or onnx")
    parser.add_argument("--output", required=True, help="the .ts or .onnx file, or a folder for model.ts or model.onnx")
    parser.add_argument("--sample-image", help="a picture with objects, to compare on; default: noise")
    parser.add_argument(
        "--dtype", default="float32", help="float32, float16 or, with torchscript, bfloat16: what layers run in"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE ..., MODEL.WEIGHTS path")
    return parser.parse_args(arguments)


@command
def main(arguments=None) -> None:
    args = parse(arguments)
    from seesaw_d2.export import export_model
    from seesaw_d2.predict.image_sources import read_picture
    from seesaw_d2.train import load_config

    picture = None if args.sample_image is None else read_picture(args.sample_image)
    cfg = load_config(args.config_file, args.opts)
    options = {"dtype": args.dtype, "picture": picture, "overwrite": args.overwrite}
    written = export_model(cfg, args.output, args.format, **options)
    sizes = ", ".join(f"{height} x {width}" for height, width in written.images)
    print(f"{written.path}: {written.size / 2**20:.1f} MiB, compared with the model on images of {sizes} pixels")
    if written.unknown_data:
        print(f"classes are numbered, as the data sets are not at hand: {written.unknown_data}")
    if "boxes" in written.differences:
        print(f"detections: {', '.join(map(str, written.detections))}")
        if not any(written.detections):
            print("nothing was detected, so that nothing was compared but that: --sample-image names a picture")
    print("largest difference: " + ", ".join(f"{name} {value:.2g}" for name, value in written.differences.items()))


if __name__ == "__main__":
    sys.exit(main())
