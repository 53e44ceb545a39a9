"""Derive random seeds from integers, and seed or restore the global random generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def mixed_seed(*numbers: int) -> int:
    """Combine integers >= 0 into a seed in [0, 2^63). Different sequences of integers give independent seeds."""
    # Include the number of integers in the seed. SeedSequence ignores trailing zeros, so that (1,) and (1, 0) would
    # otherwise give the same seed.
    return int(np.random.SeedSequence((len(numbers), *numbers)).generate_state(1, np.uint64)[0]) >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global CPU generators of Python, NumPy and PyTorch for a ``with`` block, then restore their states.

    Detectron2's augmentations use NumPy's generator, and torchvision's augmentations use PyTorch's generator.
    """
    with generators_kept():
        seed_cpu(seed)
        yield


@contextmanager
def generators_kept() -> Iterator[None]:
    """Restore the states of the global CPU generators of Python, NumPy and PyTorch after a ``with`` block."""
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.default_generator.set_state(states[2])


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch, including the generators of all GPUs."""
    seed_cpu(seed)
    torch.cuda.manual_seed_all(seed)  # no effect without a GPU


def seed_cpu(seed: int) -> None:
    """Seed the global CPU generators of Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
