"""What a job logs: the loggers of Detectron2, of fvcore and of this project, on the console and in log.txt."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

_NAMES = ("fvcore", "detectron2", "seesaw_d2")


_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class _Plain(logging.Formatter):
    """What another formatter makes, without the colors of a terminal."""

    def __init__(self, formatter: logging.Formatter):
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        return _COLOR.sub("", self._formatter.format(record))


def log_to_console() -> None:
    """Their messages in the console, the first process's, and in no file."""
    for name in _NAMES:
        setup_logger(distributed_rank=comm.get_rank(), name=name)
    _color_terminals_alone()


def set_up_run(cfg: Any, args: Any, folder: str) -> None:
    """Detectron2's ``default_setup`` (log.txt, config.yaml, seeds), with this project's messages too."""
    # As default_setup calls it, which then finds the loggers as they are: what it logs at once has colors already.
    setup_logger(folder, distributed_rank=comm.get_rank(), name="fvcore")
    setup_logger(folder, distributed_rank=comm.get_rank())
    setup_logger(folder, distributed_rank=comm.get_rank(), name="seesaw_d2")
    _color_terminals_alone()
    default_setup(cfg, args)
    if find_spec("detectron2._C") is None:
        logging.getLogger(__name__).info(
            "detectron2._C is not built, and not needed: of all models only those with rotated boxes or deformable "
            "convolutions use it"
        )


def _color_terminals_alone() -> None:
    """Files, log.txt among them, and pipes get text without codes for colors."""
    for handler in (each for name in _NAMES for each in logging.getLogger(name).handlers):
        stream = getattr(handler, "stream", None)
        if handler.formatter is not None and not (hasattr(stream, "isatty") and stream.isatty()):
            handler.setFormatter(_Plain(handler.formatter))


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
