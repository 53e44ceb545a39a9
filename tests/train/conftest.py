"""Fixtures of trainings."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Compute in one thread, as spawned processes do: sums in several threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
