#!/usr/bin/env python
"""Compare the losses on your data by training only the classifier of a trained model. See docs/choosing.md.

    python tools/choose_loss.py --config-file configs/quickstart/mask_rcnn_glyphs_ce.yaml \\
        MODEL.WEIGHTS output/quickstart_ce/model_final.pth
    python tools/choose_loss.py --config-file my.yaml --losses CrossEntropyLoss SeesawLoss --seeds 5 \\
        MODEL.WEIGHTS output/model_final.pth

The model runs over the training and test images, and the inputs of its classifier are stored. Then a linear and a
normalized classifier are trained on them with each loss and a few values of its parameters. The ranking is by parts of
the training images that were held out. The best method is evaluated on the test images, after the choice. AP is of
boxes. After an interruption the same command continues.
"""

import argparse
import sys

from command_line import command, parser_of


def parse(arguments) -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--config-file", required=True, help="config of the model")
    add("--output", help="folder of all files; default: choose_loss in OUTPUT_DIR")
    add("--losses", nargs="+", metavar="LOSS", help="default: all that fit the model")
    add("--seeds", type=int, default=3, help="trainings of each method (default: %(default)s)")
    add("--iterations", type=int, help="of each training; default: SOLVER.MAX_ITER, at most 2000")
    add("--metric", help="metric of the ranking: AP, APr, ...; classes, few, ... of an image classifier")
    add("--report", type=int, default=1, help="evaluate this many of the best methods on the test images")
    add(
        "--calibrations",
        default="NorCal",
        metavar="NAME,...",
        help="evaluate the classifiers also with these calibrations, or none (default: %(default)s)",
    )
    add("--workers", type=int, help="processes; default: one per core")
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE ..., overrides of the config, with MODEL.WEIGHTS")
    return parser.parse_args(arguments)


@command
def main(arguments=None) -> None:
    args = vars(parse(arguments))
    from seesaw_d2.choosing.choose_loss import Options, choose_loss
    from seesaw_d2.report.loss_comparison_table import comparison_table

    config_file, overrides = args.pop("config_file"), args.pop("opts")
    # KEY VALUE ... directly after --losses are overrides: a config key has a dot, the name of a loss has none.
    losses = args["losses"] or []
    end = next((index for index, word in enumerate(losses) if "." in word), len(losses))
    args["losses"], overrides = losses[:end] or None, [*losses[end:], *overrides]
    args["calibrations"] = [name for name in args["calibrations"].split(",") if name != "none"]
    print(comparison_table(choose_loss(config_file, overrides, Options(**args))))


if __name__ == "__main__":
    sys.exit(main())
