"""Random numbers for losses that sample: on the device, the same on every device, resumed with the checkpoint.

A ``torch.Generator`` belongs to one device and its state is no tensor of the module. Here a batch's numbers are a
hash of its number, which is a buffer: nothing waits for the device, and what a resumed training samples is what the
uninterrupted one would have.
"""

import torch
from torch import Tensor, nn

from seesaw_d2.utils.distributed import rank

# SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), as signed integers; products wrap around.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
# Batches, processes and seeds get numbers so far apart that no two streams overlap: 2^36 numbers in a batch.
_BATCH_BITS, _STREAM = 36, 0xD1342543DE82EF95 - 2**64


class BatchRandom(nn.Module):
    """Uniform random numbers that depend on ``seed``, on the process and on how many batches there were.

    Buffers:
        num_batches: int64 (), batches so far.
    """

    num_batches: Tensor

    def __init__(self, seed: int = 0):
        super().__init__()
        self.seed = int(seed)
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))

    def next_batch(self) -> None:
        self.num_batches += 1

    def uniform(self, *shape: int) -> Tensor:
        """float64 of ``shape`` in (0, 1), on the module's device; the same again until ``next_batch``."""
        size = torch.Size(shape).numel()
        index = torch.arange(size, device=self.num_batches.device) + (self.num_batches << _BATCH_BITS)
        stream = _signed((self.seed * 65537 + rank()) * _STREAM)
        bits = index * _GAMMA + stream
        for shift, factor in _MIX:
            bits = (bits ^ _shift_right(bits, shift)) * factor
        bits = bits ^ _shift_right(bits, 31)
        # The upper 53 bits, in the middle of their intervals: neither 0 nor 1.
        return ((_shift_right(bits, 11).double() + 0.5) * 2.0**-53).clamp(max=1 - 2.0**-53).view(shape)


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Zeros come in from the left; ``>>`` alone would repeat the sign."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _signed(value: int) -> int:
    """``value`` modulo 2^64, as int64 holds it."""
    return (value + 2**63) % 2**64 - 2**63
