"""Generate reproducible random numbers for losses that sample randomly.

The random numbers of a batch are a hash of the batch index, which is a buffer of the module. Therefore all devices
generate the same numbers without host-device synchronization, and a resumed training generates the same numbers as an
uninterrupted training. A ``torch.Generator`` generates different numbers on each type of device, and checkpoints do not
contain its state.
"""

import torch
from torch import Tensor

from seesaw_d2.losses.precision import KeepsBufferTypes
from seesaw_d2.utils.distributed import rank

# Constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), the hash function that computes the random numbers. The
# original constants are unsigned. Subtracting 2^64 makes them int64 and does not change products modulo 2^64.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
# Each batch hashes its own range of 2^_BATCH_BITS integers, so that batches get different random numbers. Each pair of
# a seed and a process adds a different multiple of _STREAM, so that these pairs get different random numbers, too.
_BATCH_BITS, _STREAM = 36, 0xD1342543DE82EF95 - 2**64


class BatchRandom(KeepsBufferTypes):
    """Generate uniform random numbers that depend only on ``seed``, the process and the number of previous batches.

    Buffers:
        num_batches: int64 (), number of previous batches.
    """

    num_batches: Tensor

    def __init__(self, seed: int = 0):
        super().__init__()
        self.seed = int(seed)
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))

    def next_batch(self) -> None:
        """Advance to the random numbers of the next batch."""
        self.num_batches += 1

    def uniform(self, *shape: int) -> Tensor:
        """Return float64 random numbers in (0, 1) of the given shape on the module's device.

        Repeated calls return the same numbers until ``next_batch`` is called.
        """
        size = torch.Size(shape).numel()
        index = torch.arange(size, device=self.num_batches.device) + (self.num_batches << _BATCH_BITS)
        stream = ((self.seed * 65537 + rank()) * _STREAM + 2**63) % 2**64 - 2**63  # modulo 2^64, as a signed integer
        bits = index * _GAMMA + stream
        for shift, factor in _MIX:
            bits = (bits ^ _shift_right(bits, shift)) * factor
        bits = bits ^ _shift_right(bits, 31)
        # Convert the upper 53 bits to a number in (0, 1). Adding 0.5 excludes 0, and the clamp excludes 1.
        return ((_shift_right(bits, 11).double() + 0.5) * 2.0**-53).clamp(max=1 - 2.0**-53).view(shape)


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Shift 64-bit integers right by ``count`` bits and fill with zeros. The operator ``>>`` copies the sign bit."""
    return (bits >> count) & ((1 << (64 - count)) - 1)
