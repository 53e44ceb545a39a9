"""Test that random numbers are a function of seed, rank and batch index."""

import torch

from seesaw_d2.losses import batch_random
from seesaw_d2.losses.batch_random import BatchRandom


def splitmix64(index):
    """Compute the published random generator with Python's unbounded integers."""
    mask = 2**64 - 1
    z = index * 0x9E3779B97F4A7C15 & mask
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
    return z ^ (z >> 31)


def test_it_is_splitmix64():
    values = BatchRandom().uniform(100)
    expected = [((splitmix64(index) >> 11) + 0.5) * 2.0**-53 for index in range(100)]
    assert values.tolist() == expected


def test_uniform():
    values = BatchRandom(seed=3).uniform(1000, 100)
    assert values.dtype == torch.float64
    assert ((values > 0) & (values < 1)).all()
    # the standard errors are 0.0009, 0.0003 and 0.001
    assert abs(values.mean() - 0.5) < 0.005
    assert abs(values.var() - 1 / 12) < 0.0015
    assert abs(torch.corrcoef(torch.stack([values[:-1].flatten(), values[1:].flatten()]))[0, 1]) < 0.015


def test_streams_differ(monkeypatch):
    streams = []
    for seed in (0, 1):
        for process in (0, 1):
            monkeypatch.setattr(batch_random, "rank", lambda process=process: process)
            random = BatchRandom(seed)
            for _ in range(3):
                streams.append(random.uniform(1000))
                random.next_batch()
    for index, first in enumerate(streams):
        for second in streams[:index]:
            assert not torch.isin(first, second).any()


def test_the_state_is_a_buffer():
    random, resumed = BatchRandom(), BatchRandom()
    for _ in range(5):
        random.next_batch()
    resumed.load_state_dict(random.state_dict())
    assert torch.equal(random.uniform(10), resumed.uniform(10))
