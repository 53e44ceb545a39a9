"""Count the places where the host waits for the GPU, with torch.cuda.set_sync_debug_mode."""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator

import torch

from tests.pretend_cuda.recording import place


@contextlib.contextmanager
def waits(set_mode=torch.cuda.set_sync_debug_mode) -> Iterator[Counter[str]]:
    """Count PyTorch's warnings of waits in the block by the innermost place in seesaw_d2 or Detectron2."""
    found: Counter[str] = Counter()

    def show(message, *args, **kwargs):
        if "synchronizing CUDA operation" in str(message):
            found[place()] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        set_mode("warn")
        try:
            yield found
        finally:
            set_mode("default")
