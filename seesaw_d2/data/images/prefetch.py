"""Copy a batch to the GPU while the model trains on the previous batch."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

Batch = list[dict[str, Any]]


def prefetched(batches: Iterable[Batch], send: Callable[[Batch], Callable[[], Batch]]) -> Iterator[Batch]:
    """Yield copies of the batches in order. Start to copy each batch before the previous copy is yielded.

    Therefore a batch is copied to the GPU while the model trains on the previous batch.

    Args:
        batches: batches to copy.
        send: function that starts to copy a batch, and returns a second function. The second function waits until the
            copy is complete, and returns the copy.
    """
    waiting = None
    for batch in batches:
        sent = send(batch)
        if waiting is not None:
            yield waiting()
        waiting = sent
    if waiting is not None:
        yield waiting()


class ToDevice:
    """Callable that copies the tensors of a batch, such as images, from pinned memory to a GPU on a separate stream.

    Pass an instance as argument ``send`` of ``prefetched``. Calling the instance starts the copy and returns a
    function, which waits for the copy and returns it. Annotations are not copied, because they are small, and the model
    copies them later.

    Args:
        device: the GPU.
    """

    def __init__(self, device: torch.device):
        self._device, self._stream = device, torch.cuda.Stream(device)

    def __call__(self, batch: Batch) -> Callable[[], Batch]:
        with torch.cuda.stream(self._stream):
            moved = [{key: self._sent(value) for key, value in item.items()} for item in batch]
            arrived = self._stream.record_event()

        def wait() -> Batch:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(arrived)
            for value in (value for item in moved for value in item.values() if isinstance(value, torch.Tensor)):
                # Tell PyTorch that this stream uses the tensor. Otherwise PyTorch could reuse the memory before the
                # stream has read it.
                value.record_stream(current)
            return moved

        return wait

    def _sent(self, value: Any) -> Any:
        return value.to(self._device, non_blocking=True) if isinstance(value, torch.Tensor) else value
