#!/usr/bin/env python
"""Choose a calibration (a rescaling of the class scores) for a trained detector, and evaluate it on other images.

    python tools/calibrate.py --config-file configs/quickstart/mask_rcnn_glyphs_ce.yaml \\
        MODEL.WEIGHTS output/quickstart_ce/model_final.pth
    python tools/calibrate.py --config-file my.yaml --calibrations NorCal --values 0.2,0.4 --choose-on my_val \\
        MODEL.WEIGHTS output/model_final.pth
    python tools/calibrate.py --config-file my.yaml --folds 5 MODEL.WEIGHTS output/model_final.pth

The program trains nothing. The model runs once over the images. The program stores the proposals, and evaluates each
calibration on the stored proposals. By default, it chooses the parameter of a calibration on training images. With
--choose-on, it chooses the parameter on another dataset. With --folds, it splits the test set into folds, and chooses
the parameter for each fold on the other folds. The program never chooses parameters on the images whose AP it reports.
The reported AP is box AP. With --masks, the program also reports mask AP. If the program is interrupted, run the same
command again to continue. docs/choosing.md explains the method.
"""

import argparse
import sys

from command_line import command, parser_of


def parse(arguments) -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--config-file", required=True, help="config of the model")
    add("--output", help="output folder (default: calibration in OUTPUT_DIR)")
    add("--calibrations", metavar="NAME,...", help="calibrations to compare (default: all that the model supports)")
    add("--values", metavar="NUMBER,...", help="parameter values to compare (default: a grid for each calibration)")
    add("--choose-on", metavar="DATASET", help="dataset on which the parameters are chosen (default: DATASETS.TRAIN)")
    add("--images", type=int, help="number of random images of this dataset (default: at most 1000)")
    add(
        "--folds",
        type=int,
        default=0,
        help="instead of --choose-on: cross-validation with this number of folds of the test set",
    )
    add("--metric", default="AP", help="metric to maximize: AP, APr, AP_fixed, ... (default: %(default)s)")
    add("--masks", action="store_true", help="also evaluate masks. The model runs once more on the test set")
    add("--workers", type=int, help="number of evaluation processes (default: one per CPU core)")
    add("opts", nargs=argparse.REMAINDER, help="config overrides KEY VALUE ..., which must include MODEL.WEIGHTS")
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
        print("note       parameters were chosen on training images. A held-out dataset in --choose-on is better.")
    print(f"config     {' '.join(result['config'])}")
    print(f"report     {result['output']}/calibration.html")


if __name__ == "__main__":
    sys.exit(main())
