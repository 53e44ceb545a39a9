#!/usr/bin/env python
"""Choose the calibration of a trained detector without training, and evaluate it on other images. See docs/choosing.md.

    python tools/calibrate.py --config-file configs/quickstart/mask_rcnn_glyphs_ce.yaml \\
        MODEL.WEIGHTS output/quickstart_ce/model_final.pth
    python tools/calibrate.py --config-file my.yaml --calibrations NorCal --values 0.2,0.4 --choose-on my_val \\
        MODEL.WEIGHTS output/model_final.pth
    python tools/calibrate.py --config-file my.yaml --folds 5 MODEL.WEIGHTS output/model_final.pth

The model runs once over the images. Its proposals are stored, and each setting is evaluated from them. Parameters are
chosen on training images, on another data set or, with --folds, on the other folds of the test set, never on the images
of which AP is reported. AP is of boxes; --masks adds masks. After an interruption the same command continues.
"""

import argparse
import sys

from command_line import command, parser_of


def parse(arguments) -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--config-file", required=True, help="config of the model")
    add("--output", help="folder of all files; default: calibration in OUTPUT_DIR")
    add("--calibrations", metavar="NAME,...", help="default: all that the model allows")
    add("--values", metavar="NUMBER,...", help="values of the parameter; default: a grid of each calibration")
    add("--choose-on", metavar="DATASET", help="registered data set of the choice; default: DATASETS.TRAIN")
    add("--images", type=int, default=1000, help="images of the choice, drawn at random (default: %(default)s)")
    add("--folds", type=int, default=0, help="choose on the other folds of the test set; number of folds")
    add("--metric", default="AP", help="metric to maximize: AP, APr, AP_fixed, ... (default: %(default)s)")
    add("--masks", action="store_true", help="evaluate masks, too: the model runs once more over the test set")
    add("--workers", type=int, help="processes of the sweep; default: one per core")
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE ..., overrides of the config, with MODEL.WEIGHTS")
    return parser.parse_args(arguments)


@command
def main(arguments=None) -> None:
    args = parse(arguments)
    from seesaw_d2.choosing.calibrate import calibrate
    from seesaw_d2.choosing.calibration_folder import Options, numbers
    from seesaw_d2.report.calibration_report import calibration_table

    options = Options(
        output=args.output,
        calibrations=None if args.calibrations is None else args.calibrations.split(","),
        values=None if args.values is None else numbers(args.values, "--values"),
        choose_on=args.choose_on,
        images=args.images,
        fold_count=args.folds,
        metric=args.metric,
        workers=args.workers,
        masks=args.masks,
    )
    result = calibrate(args.config_file, args.opts, options)
    print(calibration_table(result))
    if result["masks"]:
        print(f"masks\n{calibration_table(result, 'masks')}")
    for name, why in result["refused"].items():
        print(f"left out   {name}: {why}")
    if result["choice"]["seen"]:
        print("note       the model was trained on the images of the choice: a held-out data set is a better choice")
    print(f"config     {' '.join(result['config'])}")
    print(f"report     {result['output']}/calibration.html")


if __name__ == "__main__":
    sys.exit(main())
