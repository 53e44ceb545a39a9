"""Run the training program as ``python -m seesaw_d2``. An installed package does not contain ``train_net.py``."""

import sys

import seesaw_d2
from seesaw_d2.arguments import argument_parser, parse_arguments
from seesaw_d2.missing_packages import exit_if_missing

if __name__ == "__main__":
    sys.argv[0] = "python -m seesaw_d2"  # the program name in --help and in usage errors
    args = parse_arguments(argument_parser())
    with exit_if_missing():
        seesaw_d2.register()
        from seesaw_d2.train.command_line import start

    sys.exit(start(args))
