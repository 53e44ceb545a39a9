"""Random numbers that depend on a place and on nothing before it: an image's place in the stream, a step's number."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def mixed_seed(*numbers: int) -> int:
    """A seed in [0, 2^63) from integers >= 0; other numbers, or another order of them, give an unrelated one."""
    # Zeros at the end would not count.
    return int(np.random.SeedSequence((len(numbers), *numbers)).generate_state(1, np.uint64)[0]) >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, numpy's and, on the CPU, PyTorch's global generators begin with ``seed``; then they are as before.

    These are what augmentations draw from, Detectron2's (numpy) and torchvision's (PyTorch) alike.
    """
    with generators_kept():
        seed_cpu(seed)
        yield


@contextmanager
def generators_kept() -> Iterator[None]:
    """After the block, the global generators that ``seed_cpu`` seeds are as before it."""
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.default_generator.set_state(states[2])


def seed_all(seed: int) -> None:
    """Seed the global generators, those of all GPUs too."""
    seed_cpu(seed)
    torch.cuda.manual_seed_all(seed)  # nothing where there is none


def seed_cpu(seed: int) -> None:
    """Seed Python's, numpy's and, on the CPU, PyTorch's global generator."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
