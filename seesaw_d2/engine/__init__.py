"""Training and evaluation: what ``train_net.py`` runs."""

from .checkpointing import SeesawCheckpointer
from .config import load_config
from .launcher import argument_parser, main
from .trainer import Trainer

__all__ = ["SeesawCheckpointer", "Trainer", "argument_parser", "load_config", "main"]
