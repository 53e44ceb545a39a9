"""``python -m seesaw_d2``: ``train_net.py`` where only the package is installed."""

import sys

from seesaw_d2.train import main

if __name__ == "__main__":
    sys.argv[0] = "python -m seesaw_d2"  # for --help
    sys.exit(main())
