"""Seesaw Loss and other losses for long-tailed instance segmentation with Detectron2.

Importing the package registers its heads and backbones in Detectron2's registries and ``torchvision://`` in its path
manager. Without Detectron2 the losses still work: ``from seesaw_d2.losses import SeesawLoss``.
"""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from seesaw_d2 import renamed_modules
from seesaw_d2.version import __version__ as __version__

renamed_modules.install()


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Delay ctrl-C until the end of the block. During PyTorch's import it could be lost or abort the process."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def register() -> None:
    """Register the heads, backbones and path handlers in Detectron2. Repeated calls change nothing."""
    with _interrupt_held(), warnings.catch_warnings():
        # Importing Detectron2 calls the deprecated torch.jit.script, which users cannot change.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
        from seesaw_d2 import data
        from seesaw_d2.modeling.statistics_provider import provide_statistics  # also registers the heads
        from seesaw_d2.utils import downloads, local_files  # noqa: F401 (handlers of addresses and of local files)
        from seesaw_d2.weights import path_handlers  # noqa: F401 (registers torchvision://)

        provide_statistics(
            data.training_statistics,
            data.training_frequency_groups,
            data.provide_names,
            data.training_fractal_dimensions,
        )


def _is_program() -> bool:
    """Return whether a program of this project is starting, which registers after parsing its arguments.

    Processes that it spawns have its ``sys.argv``, but another ``sys.orig_argv``.
    """
    if sys.argv[:1] == ["-m"]:
        return ("-m", "seesaw_d2") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    program = os.path.realpath(sys.argv[0]) if sys.argv and sys.argv[0] in sys.orig_argv else ""
    folder, name = os.path.split(program)
    checkout = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    return folder == checkout and name in ("train_net.py", "lazyconfig_train_net.py", "demo.py")


if find_spec("detectron2") is not None and not _is_program():
    register()
    from seesaw_d2.config import add_seesaw_config as add_seesaw_config

    __all__ = ["add_seesaw_config", "register"]
