"""Seesaw Loss and its relatives for long-tailed instance segmentation with Detectron2.

Importing the package registers its heads and backbones in Detectron2's registries. Without Detectron2 the losses still
work: ``from seesaw_d2.losses import SeesawLoss``.
"""

import warnings
from importlib.util import find_spec

__version__ = "0.1.0"

if find_spec("detectron2") is not None:
    with warnings.catch_warnings():
        # Detectron2 scripts some functions as it is imported; what is deprecated about it is not the user's to mend.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
        from seesaw_d2 import modeling  # noqa: F401 (registers the heads)
        from seesaw_d2.config import add_seesaw_config

    __all__ = ["add_seesaw_config"]
