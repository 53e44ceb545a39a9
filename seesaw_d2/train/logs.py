"""Set up the loggers of Detectron2, fvcore and this project, on the console and in log.txt."""

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

from seesaw_d2.utils.escaping import printable

_NAMES = ("fvcore", "detectron2", "seesaw_d2")
_COLOR = re.compile(r"(\x1b\[[0-9;]*m)")


class _Printable(logging.Formatter):
    """Formatter that escapes control codes in log messages, because terminals would execute these codes.

    Args:
        formatter: formatter of Detectron2, whose output this formatter escapes.
        colors: whether to keep color codes, which only terminals display.
    """

    def __init__(self, formatter: logging.Formatter, *, colors: bool):
        super().__init__()
        self._formatter, self._colors = formatter, colors

    def format(self, record: logging.LogRecord) -> str:
        pieces = _COLOR.split(self._formatter.format(record))  # a list [text, color code, text, ...]
        pieces[::2] = map(printable, pieces[::2])
        return "".join(pieces if self._colors else pieces[::2])


def log_to_console() -> None:
    """Set up logging to the console in the main process. No process logs to a file."""
    for name in _NAMES:
        setup_logger(distributed_rank=comm.get_rank(), name=name)
    _make_printable()


def set_up_run(cfg: Any, args: Any, folder: str) -> None:
    """Set up a training with Detectron2's ``default_setup`` (config.yaml, seeds), and log to log.txt in ``folder``.

    Args:
        cfg: a YAML config or a LazyConfig.
        args: parsed arguments of the command line, which ``default_setup`` logs.
        folder: OUTPUT_DIR.
    """
    # Set up the loggers before default_setup, so that ``_make_printable`` also removes color codes from its messages.
    setup_logger(folder, distributed_rank=comm.get_rank(), name="fvcore")
    setup_logger(folder, distributed_rank=comm.get_rank())
    setup_logger(folder, distributed_rank=comm.get_rank(), name="seesaw_d2")
    _make_printable()
    default_setup(cfg, args)
    if find_spec("detectron2._C") is None:
        logging.getLogger(__name__).info(
            "The extension detectron2._C is not built. Only rotated boxes and deformable convolutions need it"
        )


def _make_printable() -> None:
    """Make all log handlers escape control codes in messages. Remove color codes unless the output is a terminal."""
    for handler in (each for name in _NAMES for each in logging.getLogger(name).handlers):
        stream = getattr(handler, "stream", None)
        if handler.formatter is not None and not isinstance(handler.formatter, _Printable):
            terminal = hasattr(stream, "isatty") and stream.isatty()
            handler.setFormatter(_Printable(handler.formatter, colors=terminal))


@contextmanager
def own_logs() -> Iterator[None]:
    """Restore the loggers after the ``with`` block, and suppress PyTorch's warning about many workers in the block.

    If the loggers were not restored, the next job in the same process would print each line twice, and write to the
    log.txt of the previous job. PyTorch prints the suppressed warning for each data loader with many worker processes,
    whereas ``TrainLoader`` logs a similar warning once.
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
