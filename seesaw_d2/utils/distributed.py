"""Collectives that are no-ops in a single process, so that callers need no ``if``.

A collective must run on every rank in every iteration: never call one inside a data-dependent branch.
"""

import torch.distributed as dist
from torch import Tensor


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Number of processes in the default group; 1 without one."""
    return dist.get_world_size() if _initialized() else 1


def rank() -> int:
    """This process's number in the default group; 0 without one."""
    return dist.get_rank() if _initialized() else 0


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Sum ``tensor`` over all processes, in place, and return it. Not differentiable."""
    if world_size() > 1:
        whole = tensor.contiguous()  # gloo takes the memory of a strided view as it lies, and sums what is beside it
        dist.all_reduce(whole)
        if whole is not tensor:
            tensor.copy_(whole)
    return tensor
