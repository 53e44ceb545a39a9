"""Scalars for Detectron2's event storage that need not be known at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from detectron2.utils.events import get_event_storage
from torch import Tensor

# Names, and a tensor of as many values.
Scalars = tuple[Sequence[str], Tensor]

_KEPT: ContextVar[list[Scalars] | None] = ContextVar("kept scalars", default=None)


@contextmanager
def kept_scalars(keep: bool = True) -> Iterator[list[Scalars]]:
    """A list that ``put_scalars`` adds to in the block, instead of waiting for the device; ``keep`` False: it waits."""
    kept: list[Scalars] = []
    token = _KEPT.set(kept if keep else None)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def put_scalars(names: Sequence[str], values: Tensor) -> None:
    """Put ``values`` (K,) into the current event storage under K ``names``, now or later; what is nan is left out."""
    kept = _KEPT.get()
    if kept is None:
        store_scalars(names, values.tolist())  # one transfer from the device
    else:
        kept.append((names, values.detach()))


def store_scalars(names: Sequence[str], values: Sequence[float]) -> None:
    """Put numbers into the current event storage; what is nan is left out: there was nothing to measure."""
    storage = get_event_storage()
    for name, value in zip(names, values, strict=True):
        if value == value:
            storage.put_scalar(name, value)
