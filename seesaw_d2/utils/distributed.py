"""Collectives that do nothing in a single process.

Every rank must call a collective in every iteration: never call one inside a data-dependent branch.
"""

import inspect
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Return the number of processes in the default group, 1 if there is none."""
    return dist.get_world_size() if _initialized() else 1


def rank() -> int:
    """Return this process's rank in the default group, 0 if there is none."""
    return dist.get_rank() if _initialized() else 0


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Sum ``tensor`` over all processes, in place, and return it. Not differentiable."""
    if world_size() > 1:
        whole = tensor.contiguous()  # gloo ignores the strides of a view
        dist.all_reduce(whole)
        if whole is not tensor:
            tensor.copy_(whole)
    return tensor


def broadcast(tensor: Tensor) -> Tensor:
    """Broadcast ``tensor`` from rank 0 to all processes, in place, and return it."""
    if world_size() > 1:
        whole = tensor.contiguous()
        dist.broadcast(whole, src=0)
        if whole is not tensor:
            tensor.copy_(whole)
    return tensor


def share_of_mean(count: Tensor | float, like: Tensor) -> Tensor | float:
    """Return this process's ``count`` divided by the mean of all processes' counts; 1 in a single process.

    A loss averaged over a process's own samples, times this share, gives the gradient of the average over the samples
    of all processes, because gradients are averaged over processes. If all counts are 0, the result is 0.

    Args:
        count: >= 0, a number or a scalar tensor.
        like: a tensor with the device and the floating point type of the result.
    """
    if world_size() == 1:
        return 1.0
    own = torch.as_tensor(count, dtype=torch.float64, device=like.device)
    mean = all_reduce_sum(own.clone()) / world_size()
    return (own / mean.clamp(min=torch.finfo(torch.float32).tiny)).to(like.dtype)


def any_process(value: bool) -> bool:
    """Return whether ``value`` is True in any process."""
    if world_size() == 1:
        return value
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    return bool(all_reduce_sum(torch.tensor([int(value)], device=device)).item())


def distributed(model: nn.Module) -> nn.Module:
    """Wrap the model in DistributedDataParallel; return it unchanged in a single process.

    Unlike Detectron2's ``create_ddp_model``, this works on the CPU, and on any current GPU of the process.
    """
    if world_size() == 1:
        return model
    on_gpu = next(model.parameters()).is_cuda
    devices = [torch.cuda.current_device()] if on_gpu else None
    # About PyTorch 2.14 renamed broadcast_buffers, and warns about the old name.
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    key = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {key: False}
    return DistributedDataParallel(model, device_ids=devices, **options)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel, or the model itself if it is not wrapped."""
    return model.module if isinstance(model, DistributedDataParallel) else model
