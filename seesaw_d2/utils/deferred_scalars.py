"""Put scalars into Detectron2's event storage, either immediately or later with fewer transfers from the device."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from detectron2.utils.events import get_event_storage
from torch import Tensor

# K names, and a tensor (K,) with the values.
Scalars = tuple[Sequence[str], Tensor]

_KEPT: ContextVar[list[Scalars] | None] = ContextVar("kept scalars", default=None)


@contextmanager
def kept_scalars() -> Iterator[list[Scalars]]:
    """Yield a list. Within this context, ``put_scalars`` appends to the list instead of copying values to the host."""
    kept: list[Scalars] = []
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def put_scalars(names: Sequence[str], values: Tensor) -> None:
    """Put a value for each name into the event storage or, within ``kept_scalars``, into the yielded list. Skip NaN."""
    kept = _KEPT.get()
    if kept is None:
        store_scalars(names, values.tolist())  # one transfer from the device
    else:
        prefix = get_event_storage()._current_prefix  # the name_scope will have ended when the scalars are stored
        kept.append(([prefix + name for name in names], values.detach()))


def store_scalars(names: Sequence[str], values: Sequence[float]) -> None:
    """Put numbers into the current event storage. Skip NaN, which marks undefined values."""
    storage = get_event_storage()
    for name, value in zip(names, values, strict=True):
        if value == value:
            storage.put_scalar(name, value)
