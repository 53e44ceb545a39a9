"""Seesaw Loss and other losses for long-tailed instance segmentation with Detectron2.

If Detectron2 is installed, importing the package registers the heads and backbones in Detectron2's registries, and a
handler for ``torchvision://`` paths in Detectron2's path manager. The losses also work without Detectron2:
``from seesaw_d2.losses import SeesawLoss``.
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
    """Return a context manager that delays SIGINT (Ctrl-C) until the ``with`` block ends.

    A SIGINT that arrives during the import of PyTorch can be lost or crash the process.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows cannot block signals during the import
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def register() -> None:
    """Register this project's heads, backbones and path handlers in Detectron2. Repeated calls have no effect."""
    with _interrupt_held(), warnings.catch_warnings():
        # Importing Detectron2 calls the deprecated torch.jit.script. Hide the warning, because users cannot avoid it.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
        from seesaw_d2 import data
        from seesaw_d2.modeling.statistics_provider import provide_statistics  # this import also registers the heads
        from seesaw_d2.utils import downloads, local_files  # noqa: F401 (importing registers path handlers)
        from seesaw_d2.weights import path_handlers  # noqa: F401 (importing registers torchvision:// paths)

        provide_statistics(
            data.training_statistics,
            data.training_frequency_groups,
            data.provide_names,
            data.training_fractal_dimensions,
        )


def _is_program() -> bool:
    """Return whether this process runs a program of this project, such as ``train_net.py``.

    If True, importing the package does not call ``register``. The program itself calls ``register`` after it has parsed
    its arguments, so that ``--help`` does not wait for the import of Detectron2.

    For a worker process that the program spawns, the result is False. Such a process has the same ``sys.argv`` as the
    program, but a different ``sys.orig_argv``.
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
