"""Run collectives of torch.distributed. In a single process, the collectives do nothing.

All ranks must call the same collectives in the same order. Never call a collective in a branch that depends on data.
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
    """Return the number of processes in the default process group, or 1 without a group."""
    return dist.get_world_size() if _initialized() else 1


def rank() -> int:
    """Return this process's rank in the default process group, or 0 without a group."""
    return dist.get_rank() if _initialized() else 0


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Sum ``tensor`` over all processes in place, and return ``tensor``. The operation is not differentiable."""
    if world_size() > 1:
        whole = tensor.contiguous()  # gloo would ignore the strides of a view
        dist.all_reduce(whole)
        if whole is not tensor:
            tensor.copy_(whole)
    return tensor


def broadcast(tensor: Tensor) -> Tensor:
    """Broadcast ``tensor`` from rank 0 to all processes in place, and return ``tensor``."""
    if world_size() > 1:
        whole = tensor.contiguous()
        dist.broadcast(whole, src=0)
        if whole is not tensor:
            tensor.copy_(whole)
    return tensor


def broadcast_buffers(model: nn.Module) -> None:
    """Broadcast the buffers of a model from rank 0 to all processes in place, with one collective for each data type.

    All processes must call this function. If a process does not have one of the buffers, the other processes keep their
    values of this buffer.
    """
    if world_size() == 1:
        return
    own = {name: buffer for name, buffer in model.named_buffers() if buffer.numel()}
    described: list[dict[str, Any]] = [{} for _ in range(world_size())]
    dist.all_gather_object(described, {name: (each.shape, each.dtype) for name, each in own.items()})
    common = [name for name in described[0] if all(each.get(name) == described[0][name] for each in described)]
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for name in common:
        by_type.setdefault(own[name].dtype, []).append(own[name])
    for buffers in by_type.values():
        flat = broadcast(torch.cat([buffer.flatten() for buffer in buffers]))
        for buffer, values in zip(buffers, flat.split([each.numel() for each in buffers]), strict=True):
            buffer.copy_(values.view_as(buffer))


def share_of_mean(count: Tensor | float, like: Tensor) -> Tensor | float:
    """Return ``count`` of this process divided by the mean of ``count`` over all processes.

    For example, two processes with the counts 10 and 30 get the shares 0.5 and 1.5. Multiply the mean loss over the
    samples of a process by this share. DistributedDataParallel then computes the gradients of the mean loss over the
    samples of all processes. All processes must call this function.

    Args:
        count: >= 0, number of samples of this process, a number or a scalar tensor.
        like: a tensor with the device and the floating-point type of the result.

    Returns:
        a scalar tensor, or the number 1.0 in a single process. The tensor is 0 if all counts are 0.
    """
    if world_size() == 1:
        return 1.0
    own = torch.as_tensor(count, dtype=torch.float64, device=like.device)
    mean = all_reduce_sum(own.clone()) / world_size()
    return (own / mean.clamp(min=torch.finfo(torch.float32).tiny)).to(like.dtype)


def distributed(model: nn.Module) -> nn.Module:
    """Wrap the model in DistributedDataParallel. In a single process, return the model unchanged.

    Unlike Detectron2's ``create_ddp_model``, this function works on the CPU, and with any GPU index.
    """
    if world_size() == 1:
        return model
    device = next(model.parameters()).device
    devices = [device.index] if device.type == "cuda" else None
    # From about version 2.14 on, PyTorch calls the argument forward_sync_buffers, and warns about the old name.
    known = inspect.signature(DistributedDataParallel.__init__).parameters
    key = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {key: False}
    return DistributedDataParallel(model, device_ids=devices, **options)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel, or the model itself if it is not wrapped."""
    return model.module if isinstance(model, DistributedDataParallel) else model
