"""Seesaw Loss and its relatives for long-tailed instance segmentation with Detectron2.

Importing the package registers its heads, backbones and data loaders in Detectron2's registries.
Without Detectron2 the losses still work: ``from seesaw_d2.losses import SeesawLoss``.
"""

__version__ = "0.1.0"
