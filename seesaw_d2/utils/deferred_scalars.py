"""Log scalars to Detectron2's event storage, immediately or later with fewer transfers from device to host."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from detectron2.utils.events import get_event_storage
from torch import Tensor

# A pair: names of scalars, such as "loss_cls", and a tensor with one value for each name.
Scalars = tuple[Sequence[str], Tensor]

_KEPT: ContextVar[list[Scalars] | None] = ContextVar("kept scalars", default=None)


@contextmanager
def kept_scalars() -> Iterator[list[Scalars]]:
    """Make ``put_scalars`` append scalars to the yielded list in this context, without copying them to the host.

    A copy would make the host wait for the GPU. Pass the scalars in the list to ``store_scalars`` later.
    """
    kept: list[Scalars] = []
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def put_scalars(names: Sequence[str], values: Tensor) -> None:
    """Put scalars into the event storage or, in the context ``kept_scalars``, append them to the list of the context.

    Args:
        names: names of the scalars, such as "loss_cls".
        values: 1-D tensor with one value for each name. NaN marks undefined values, which are not stored.
    """
    kept = _KEPT.get()
    if kept is None:
        store_scalars(names, values.tolist())  # tolist() copies all values from the GPU at once
    else:
        prefix = get_event_storage()._current_prefix  # read now, because the name_scope ends before store_scalars
        kept.append(([prefix + name for name in names], values.detach()))


def store_scalars(names: Sequence[str], values: Sequence[float]) -> None:
    """Put named numbers into Detectron2's current event storage. Skip NaN, which marks undefined values."""
    storage = get_event_storage()
    for name, value in zip(names, values, strict=True):
        if value == value:
            storage.put_scalar(name, value)
