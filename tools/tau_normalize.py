#!/usr/bin/env python
"""τ-normalize the classifier of a trained model: w_i / ||w_i||^τ (Kang et al., ICLR 2020), without training.

    python tools/tau_normalize.py output/quickstart_ce/model_final.pth output/tau/model.pth --tau 0.5
    python tools/tau_normalize.py output/quickstart_ce/model_final.pth output/tau/model.pth --sweep 0 0.25 0.5 0.75 1

w_i is the weight vector of category i, and τ >= 0. τ = 0 does not change the model. Choose τ on held-out data. --sweep
writes a file for each τ: model_tau0.pth, model_tau0.25.pth, .... The program prints the commands that evaluate the
files. Each command writes to a folder beside its file, such as model_tau0.5_evaluation.
"""

import os
import shlex
import sys

from command_line import command, conversion_parser, train_net


@command
def main(arguments=None) -> None:
    parser = conversion_parser(__doc__, ".pth file of a model with a linear classifier")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--tau", type=float, help="exponent >= 0")
    choice.add_argument("--sweep", type=float, nargs="+", metavar="TAU", help="exponents >= 0, one file per exponent")
    parser.add_argument("--config-file", help="config of the training (default: config.yaml beside the checkpoint)")
    parser.add_argument("--drop-bias", action="store_true", help="set the categories' biases to 0, as Kang et al. do")
    args = parser.parse_args(arguments)
    from seesaw_d2.weights.tau_checkpoint import find_config, normalize_checkpoint

    config = args.config_file or find_config(args.checkpoint)
    written = normalize_checkpoint(
        args.checkpoint,
        args.output,
        [args.tau] if args.sweep is None else args.sweep,
        config_file=config,
        drop_bias=args.drop_bias,
        overwrite=args.overwrite,
    )
    for path in written.values():
        # Each file has its own folder, also if the files of several models are in the same folder.
        folder = f"{os.path.splitext(path)[0]}_evaluation"
        words = ["--config-file", config, "--eval-only", "MODEL.WEIGHTS", path, "OUTPUT_DIR", folder]
        print(shlex.join(["python", train_net(), *words]))


if __name__ == "__main__":
    sys.exit(main())
