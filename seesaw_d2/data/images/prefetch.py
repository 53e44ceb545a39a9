"""Batches that are on their way to the GPU while the one before is trained on."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

Batch = list[dict[str, Any]]


def prefetched(batches: Iterable[Batch], send: Callable[[Batch], Callable[[], Batch]]) -> Iterator[Batch]:
    """The batches in their order, each sent before the one in front of it is given.

    Args:
        send: begins to move a batch, and returns what waits for it and gives the moved one.
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
    """``send`` of ``prefetched``: a batch's images, from pinned memory, by a CUDA stream of their own.

    The annotations stay where they are: Detectron2's models move them, and they are small.
    """

    def __init__(self, device: torch.device):
        self._device, self._stream = device, torch.cuda.Stream(device)

    def __call__(self, batch: Batch) -> Callable[[], Batch]:
        with torch.cuda.stream(self._stream):
            moved = [{**item, "image": item["image"].to(self._device, non_blocking=True)} for item in batch]
            arrived = self._stream.record_event()

        def wait() -> Batch:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(arrived)
            for item in moved:
                item["image"].record_stream(current)  # its memory is not the other stream's to give away again
            return moved

        return wait
