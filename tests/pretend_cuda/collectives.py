"""Simulate two processes. In every collective, the other process has the same values as this process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.distributed as dist
from detectron2.utils import comm

from tests.pretend_cuda.recording import place


@contextmanager
def two_processes() -> Iterator[Counter[tuple[str, str]]]:
    """Simulate process 0 of 2 in the block. Yield a counter of collectives by (name, place)."""
    seen: Counter[tuple[str, str]] = Counter()

    def counted(name, run):
        def collective(*args, **kwargs):
            seen[name, place()] += 1
            return run(*args)

        return collective

    def reduced(tensor: torch.Tensor) -> None:
        tensor.mul_(2)

    functions = {
        "is_initialized": lambda: True,
        "get_world_size": lambda *_: 2,
        "get_rank": lambda *_: 0,
        "get_backend": lambda *_: "gloo",
        "barrier": counted("barrier", lambda *_: None),
        "all_reduce": counted("all_reduce", reduced),
        "broadcast": counted("broadcast", lambda *_: None),
    }
    gathered = {"all_gather": counted("all_gather", lambda value, *_: [value, value])}
    with mock.patch.multiple(dist, **functions), mock.patch.multiple(comm, **gathered):
        yield seen
