"""Provide a context manager with a simulated CUDA device.

The tensors of the device compute on the CPU and report the device cuda:0. ``PretendedCuda`` records the file and the
function in which an operator mixes tensors of the CPU and of the device ("mixed"), in which the host waits for a value
of the device ("wait"), and in which the host copies without ``non_blocking`` ("copy"). ``PretendedCuda`` has no
streams, kernels or NCCL. Therefore, it finds wrong devices and synchronizations, but no race conditions.
"""

import contextlib
from collections import Counter
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.pretend_cuda import recording
from tests.pretend_cuda.device import PretendedTensor, run


class PretendedCuda(TorchDispatchMode):
    """Simulate a CUDA device in a context. ``events`` counts (kind, place). A place is "package/file:function"."""

    def __init__(self):
        super().__init__()
        self.events: Counter[tuple[str, str]] = Counter()
        # Devices on which random numbers were requested. None is the current device.
        self.generators: set[torch.device | str | None] = set()
        self._patches = contextlib.ExitStack()

    def __enter__(self):
        recording.active = self.events
        functions = {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "current_device": lambda: 0,
            "device_count": lambda: 1,
            "synchronize": lambda *_: recording.record("wait"),
            "manual_seed_all": lambda _: None,
            "get_rng_state": self._get_rng_state,
        }
        self._patches.enter_context(mock.patch.multiple(torch.cuda, **functions))
        made = {"tensor": _factory(torch.tensor), "as_tensor": _factory(torch.as_tensor)}
        # Use the autocast of the CPU, because the tensors compute on the CPU.
        autocast = torch.autocast
        made["autocast"] = lambda device_type, *args, **kwargs: autocast("cpu", *args, **kwargs)
        self._patches.enter_context(mock.patch.multiple(torch, **made))
        self._patches.enter_context(mock.patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._patches.close()
        recording.active = None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def _get_rng_state(self, device=None) -> torch.Tensor:
        self.generators.add(device)
        return torch.zeros(16, dtype=torch.uint8)

    def of_packages(self) -> list[tuple[str, str]]:
        """Return the events in seesaw_d2 and Detectron2, without the events in the test."""
        return sorted(event for event in self.events if event[1] != "test")

    def at(self, kind: str) -> dict[str, int]:
        """Return how often an event of a kind occurred at each place of the packages, "package/file:function"."""
        return {place: count for (found, place), count in self.events.items() if found == kind and place != "test"}

    def places(self, kind: str, package: str) -> dict[str, int]:
        """Return how often an event of a kind occurred at each place of a package."""
        prefix = f"{package}/"
        return {
            place.removeprefix(prefix): count
            for (found, place), count in sorted(self.events.items())
            if found == kind and place.startswith(prefix)
        }


def _factory(make):
    """Return ``torch.tensor`` or ``torch.as_tensor`` for both devices."""

    def made(data, *args, device=None, **kwargs):
        if isinstance(data, PretendedTensor):
            return data.to(*args, **kwargs) if args or kwargs else data
        if device is None or torch.device(device).type != "cuda":
            return make(data, *args, device=device, **kwargs)
        recording.record("copy")
        return PretendedTensor(make(data, *args, **kwargs))

    return made
