"""Seesaw Loss and its relatives for long-tailed instance segmentation with Detectron2.

Importing the package registers its heads, backbones and data loaders in Detectron2's registries.
Without Detectron2 the losses still work: ``from seesaw_d2.losses import SeesawLoss``.
"""

__version__ = "0.1.0"

from importlib.util import find_spec

if find_spec("detectron2") is not None:
    from . import modeling  # noqa: F401 (registers the heads)
    from .config import add_seesaw_config

    __all__ = ["add_seesaw_config"]
