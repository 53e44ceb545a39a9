"""Train and evaluate models. The program ``train_net.py`` calls this package."""

from seesaw_d2.config.loading import load_config
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.command_line import argument_parser, main
from seesaw_d2.train.trainer import Trainer

__all__ = ["SeesawCheckpointer", "Trainer", "argument_parser", "load_config", "main"]
