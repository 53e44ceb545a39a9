"""Collectives that are no-ops in a single process, so that callers need no ``if``.

A collective must run on every rank in every iteration: never call one inside a data-dependent branch.
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


def broadcast(tensor: Tensor) -> Tensor:
    """Give every process the first one's ``tensor``, in place, and return it."""
    if world_size() > 1:
        whole = tensor.contiguous()
        dist.broadcast(whole, src=0)
        if whole is not tensor:
            tensor.copy_(whole)
    return tensor


def share_of_mean(count: Tensor | float, like: Tensor) -> Tensor | float:
    """How many times a process's ``count`` is the mean of all processes' counts; 1 in a single process.

    Gradients are averaged over processes. A mean over a process's own samples times this share is therefore, so
    averaged, the mean over the samples of all. A count of 0 in every process gives 0.

    Args:
        count: >= 0, a number or a scalar tensor.
        like: a tensor on the device, and of the floating point type, of the result.
    """
    if world_size() == 1:
        return 1.0
    own = torch.as_tensor(count, dtype=torch.float64, device=like.device)
    mean = all_reduce_sum(own.clone()) / world_size()
    return (own / mean.clamp(min=torch.finfo(torch.float32).tiny)).to(like.dtype)


def any_process(value: bool) -> bool:
    """Whether ``value`` is true in any of the processes."""
    if world_size() == 1:
        return value
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    return bool(all_reduce_sum(torch.tensor([int(value)], device=device)).item())


def distributed(model: nn.Module) -> nn.Module:
    """The model, wrapped so that its gradients are the average over all processes; itself in a single one.

    Detectron2's ``create_ddp_model``, but on the CPU too, where there are no device numbers, and with the process's
    current GPU, whatever its number is.
    """
    if world_size() == 1:
        return model
    on_gpu = next(model.parameters()).is_cuda
    devices = [torch.cuda.current_device()] if on_gpu else None
    # Its name since PyTorch 2.14 or so, which warns of the other one.
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    key = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {key: False}
    return DistributedDataParallel(model, device_ids=devices, **options)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that ``distributed`` has wrapped; another model as it is."""
    return model.module if isinstance(model, DistributedDataParallel) else model
