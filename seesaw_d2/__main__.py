"""``python -m seesaw_d2``: the same as ``train_net.py``, for an installed package."""

import sys

from seesaw_d2.train.command_line import main

if __name__ == "__main__":
    sys.argv[0] = "python -m seesaw_d2"  # for --help
    sys.exit(main())
