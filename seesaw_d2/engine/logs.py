"""What a job logs: the loggers of Detectron2, of fvcore and of this project, on the console and in log.txt."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

_NAMES = ("fvcore", "detectron2", "seesaw_d2")


def log_to_console() -> None:
    """Their messages in the console, the first process's, and in no file."""
    for name in _NAMES:
        setup_logger(distributed_rank=comm.get_rank(), name=name)


def set_up_run(cfg: Any, args: Any, folder: str) -> None:
    """Detectron2's ``default_setup`` (log.txt, config.yaml, seeds), with this project's messages too."""
    default_setup(cfg, args)
    setup_logger(folder, distributed_rank=comm.get_rank(), name="seesaw_d2")


@contextmanager
def own_logs() -> Iterator[None]:
    """Loggers that a job in the block sets up end with it, and PyTorch does not fear for the number of workers.

    Detectron2's do not: the next job in the same process prints every line twice, and writes to the log.txt of the one
    before. PyTorch warns at each loader with more workers than cores that it "might get slow or even freeze";
    ``TrainLoader`` says it once.
    """
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"This DataLoader will create \d+ worker processes in total")
            yield
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
        setup_logger.cache_clear()
