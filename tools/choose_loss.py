#!/usr/bin/env python
"""Compare losses on your data by training only the classifier of a trained model.

    python tools/choose_loss.py --config-file configs/quickstart/mask_rcnn_glyphs_ce.yaml \\
        MODEL.WEIGHTS output/quickstart_ce/model_final.pth
    python tools/choose_loss.py --config-file my.yaml --losses CrossEntropyLoss SeesawLoss --seeds 5 \\
        MODEL.WEIGHTS output/model_final.pth

The model runs over the training and test images, and the program stores the inputs of the classifier. On these inputs,
the program trains a linear and a normalized classifier with each loss and a few values of the loss parameters. A method
is a loss with a type of classifier. The program ranks the methods, each with its best parameters, on held-out training
images, and then evaluates the best method on the test images. AP is box AP. If the program is interrupted, run the same
command again to continue. docs/choosing.md explains the procedure.
"""

import argparse
import sys

from command_line import command, parser_of


def parse(arguments) -> argparse.Namespace:
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--config-file", required=True, help="config of the model")
    add("--output", help="output folder (default: choose_loss in OUTPUT_DIR)")
    add("--losses", nargs="+", metavar="LOSS", help="losses to compare (default: all that the model supports)")
    add(
        "--seeds",
        type=int,
        default=3,
        help="number of trainings per loss and classifier, each with another seed (default: %(default)s)",
    )
    add("--iterations", type=int, help="iterations per training (default: SOLVER.MAX_ITER, at most 2000)")
    add("--metric", help="metric of the ranking: AP, APr, ... for detectors, classes, few, ... for image classifiers")
    add(
        "--report",
        type=int,
        default=1,
        help="number of best methods to evaluate on the test images (default: %(default)s)",
    )
    add(
        "--calibrations",
        default="NorCal",
        metavar="NAME,...",
        help="calibrations with which the classifiers are also evaluated, or none (default: %(default)s)",
    )
    add("--workers", type=int, help="number of processes (default: one per CPU core)")
    add("opts", nargs=argparse.REMAINDER, help="config overrides KEY VALUE ..., which must include MODEL.WEIGHTS")
    return parser.parse_args(arguments)


@command
def main(arguments=None) -> None:
    args = vars(parse(arguments))
    from seesaw_d2.choosing.choose_loss import Options, choose_loss
    from seesaw_d2.errors import ConfigError
    from seesaw_d2.report.loss_comparison_table import comparison_table

    config_file, overrides = args.pop("config_file"), args.pop("opts")
    # The words after --losses can include overrides KEY VALUE ..., because argparse assigns all of them to --losses.
    # Config keys contain a dot, and names of losses do not.
    losses = args["losses"] or []
    end = next((index for index, word in enumerate(losses) if "." in word), len(losses))
    if args["losses"] and not end:
        raise ConfigError(f"--losses: expected names of losses, found the config override {losses[0]}")
    args["losses"], overrides = losses[:end] or None, [*losses[end:], *overrides]
    args["calibrations"] = [name for name in args["calibrations"].split(",") if name != "none"]
    print(comparison_table(choose_loss(config_file, overrides, Options(**args))))


if __name__ == "__main__":
    sys.exit(main())
