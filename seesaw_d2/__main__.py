"""``python -m seesaw_d2``: ``train_net.py`` where only the package is installed."""

import sys

from seesaw_d2.engine import main

if __name__ == "__main__":
    sys.exit(main())
