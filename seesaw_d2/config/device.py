"""Replace the value "auto" of MODEL.DEVICE by the name of a device."""

import torch
from detectron2.config import CfgNode


def replace_auto_device(cfg: CfgNode, *, cpu: bool = False) -> None:
    """Replace ``MODEL.DEVICE: auto`` in place by "cuda" if a GPU is available and ``cpu`` is False, else by "cpu"."""
    if cfg.MODEL.DEVICE == "auto":
        cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() and not cpu else "cpu"
