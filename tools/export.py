#!/usr/bin/env python
r"""Export a trained model to TorchScript or ONNX, and compare the exported model with the original.

    python tools/export.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml --format onnx \
        --output output/quickstart/model.onnx --sample-image datasets/glyphs/images/val/000000001201.jpg \
        MODEL.WEIGHTS output/quickstart/model_final.pth
    python tools/export.py --config-file ... --format torchscript --dtype bfloat16 --output output/exported \
        MODEL.WEIGHTS ...

The metadata of the file contains class names, channel order, image sizes and thresholds. If a part of the model cannot
be exported, the program prints the name of this part and writes no file. ONNX needs the extra "export" of this package.
See docs/deployment.md.
"""

import argparse
import sys

from command_line import command, parser_of


def parse(arguments) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--config-file", required=True, help="config of the model")
    parser.add_argument("--format", required=True, help="torchscript or onnx")
    parser.add_argument("--output", required=True, help=".ts or .onnx file, or a folder for model.ts or model.onnx")
    parser.add_argument("--sample-image", help="image with objects for the comparison (default: noise)")
    parser.add_argument(
        "--dtype",
        default="float32",
        help="data type of layers: float32 (default), float16 or, with torchscript, bfloat16",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="config overrides KEY VALUE ..., which must include MODEL.WEIGHTS"
    )
    return parser.parse_args(arguments)


@command
def main(arguments=None) -> None:
    args = parse(arguments)
    from seesaw_d2.export import export_model
    from seesaw_d2.predict.image_sources import read_image
    from seesaw_d2.train import load_config
    from seesaw_d2.train.preflight.keys import written_layers

    picture = None if args.sample_image is None else read_image(args.sample_image)
    cfg = load_config(args.config_file, args.opts)
    written = written_layers(args.config_file, args.opts)
    options = {"dtype": args.dtype, "picture": picture, "overwrite": args.overwrite, "written": written}
    done = export_model(cfg, args.output, args.format, **options)
    sizes = ", ".join(f"{height} x {width}" for height, width in done.images)
    print(f"{done.path}: {done.size / 2**20:.1f} MiB, compared with the model on images of {sizes} pixels")
    if done.unknown_data:
        print(f"class names are numbers, because the datasets are not available: {done.unknown_data}")
    if "boxes" in done.differences:
        print(f"detections: {', '.join(map(str, done.detections))}")
        if not any(done.detections):
            print("the comparison had no detections. Set --sample-image to an image with objects.")
    print("largest difference: " + ", ".join(f"{name} {value:.2g}" for name, value in done.differences.items()))


if __name__ == "__main__":
    sys.exit(main())
