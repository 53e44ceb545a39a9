"""Define tensors that compute on the CPU and report the device cuda:0, and their operators, which record events."""

import torch
from torch.utils._pytree import tree_flatten, tree_map

from tests.pretend_cuda.recording import record

CUDA = torch.device("cuda:0")
# Operators for which the host waits, because it needs a value, or a size that depends on values.
WAITING = {
    "aten::_local_scalar_dense",
    "aten::_unique2",
    "aten::bincount",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::nonzero",
    "aten::repeat_interleave",
    "aten::unique_consecutive",
    "aten::unique_dim",
    "torchvision::nms",
}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
COPYING = {"aten::copy_", "aten::_to_copy"}


class PretendedTensor(torch.Tensor):
    """Compute with the CPU tensor ``host``, but report the device cuda:0."""

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor):
        layout = {"strides": host.stride(), "storage_offset": host.storage_offset(), "dtype": host.dtype}
        # For autograd, this is a CPU tensor, because autograd would call the driver for a CUDA tensor.
        tensor = torch.Tensor._make_wrapper_subclass(cls, host.size(), device="cpu", **layout)
        tensor.host = host
        return tensor

    def __repr__(self):
        return f"PretendedTensor({self.host!r})"

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func == torch.Tensor.device.__get__:
            return CUDA
        if func == torch.Tensor.is_cuda.__get__:
            return True
        if func == torch.Tensor.is_cpu.__get__:
            return False
        if func is torch.Tensor.get_device:
            return 0
        if func is torch.Tensor.__deepcopy__:
            return _deep_copy(args[0])
        if func in (torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__):
            record("wait" if func is torch.Tensor.tolist else "mixed")
            return func(args[0].host.detach(), *args[1:], **kwargs)
        if func in (torch.Tensor.cpu, torch.Tensor.to) and isinstance(args[0], PretendedTensor):
            if _goes_to_cpu(func, args, kwargs):
                return _to_cpu(func, args, kwargs)
        elif func is torch.Tensor.to:  # copies a CPU tensor to the device of another tensor
            record("copy")
            return PretendedTensor(args[0].to(args[1].dtype).clone())
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class _ToCPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor):
        return tensor.host.clone()

    @staticmethod
    def backward(ctx, grad):
        return PretendedTensor(grad)


def to_device(value):
    """Move tensors, modules (in place), and lists, dicts and Instances of tensors to the device, and return them."""
    if isinstance(value, torch.nn.Module):
        for module in value.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    moved = PretendedTensor(parameter.detach().clone())
                    module._parameters[name] = torch.nn.Parameter(moved, requires_grad=parameter.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = PretendedTensor(buffer.clone())
        return value
    return tree_map(
        lambda each: PretendedTensor(each.detach().clone()) if isinstance(each, torch.Tensor) else each, value
    )


def to_host(value):
    """Return a nested value with CPU tensors in place of device tensors, without recording an event."""
    return tree_map(_host, value)


def _host(value):
    return value.host if isinstance(value, PretendedTensor) else value


def _deep_copy(tensor):
    copied = PretendedTensor(tensor.host.clone())
    if isinstance(tensor, torch.nn.Parameter):
        copied = torch.nn.Parameter(copied, requires_grad=tensor.requires_grad)
    return copied


def _goes_to_cpu(func, args, kwargs) -> bool:
    if func is torch.Tensor.cpu:
        return True
    if func is not torch.Tensor.to:
        return False
    for value in (*args[1:], *kwargs.values()):
        if isinstance(value, str | torch.device) and torch.device(value).type == "cpu":
            return True
        if isinstance(value, torch.Tensor) and not isinstance(value, PretendedTensor):
            return True
    return False


def _to_cpu(func, args, kwargs):
    record("wait")
    with torch._C.DisableTorchFunctionSubclass():
        found = _ToCPU.apply(args[0])
    rest = [value for value in args[1:] if not isinstance(value, str | torch.device)]
    named = {name: value for name, value in kwargs.items() if name not in ("device", "non_blocking", "memory_format")}
    return found.to(*rest, **named) if func is torch.Tensor.to and (rest or named) else found


def run(func, args, kwargs):
    """Run an operator on the CPU tensors, and record the events that it would cause on a device."""
    flat, _ = tree_flatten((args, kwargs))
    pretended = any(isinstance(each, PretendedTensor) for each in flat)
    name = func._schema.name
    if pretended:
        _record_waits(name, args)
        _record_mixed(func, name, args, flat)
    asked = kwargs.get("device")
    # __torch_function__ handles copies to the CPU.
    on_device = (
        pretended if asked is None or (pretended and name == "aten::_to_copy") else torch.device(asked).type == "cuda"
    )
    if name in COPYING:
        _record_copy(name, args, kwargs, on_device)
    plain, named = tree_map(_host, (args, kwargs))
    if asked is not None:
        named["device"] = torch.device("cpu")
    named.pop("pin_memory", None)
    found = func(*plain, **named)
    if func._schema.is_mutable and "out" not in kwargs:
        return _mutated(func, args, plain, found)
    if "out" in kwargs:
        return kwargs["out"]
    if not on_device:
        return found
    wrap = lambda each: PretendedTensor(each) if isinstance(each, torch.Tensor) else each  # noqa: E731
    return tree_map(wrap, found)


def _mutated(func, args, plain, found):
    """Return the result of an in-place operator: its device arguments instead of their CPU tensors."""
    hosts = {id(host): each for host, each in zip(tree_flatten(plain)[0], tree_flatten(args)[0], strict=True)}
    return tree_map(lambda each: hosts.get(id(each), each), found)


def _record_waits(name, args) -> None:
    if name in WAITING:
        record("wait")
    # Indexing with a mask needs sizes, unless it writes a single value.
    by_mask = name in INDEXING and any(each is not None and each.dtype == torch.bool for each in args[1])
    if by_mask and (name == "aten::index" or args[2].numel() != 1):
        record("wait")


def _record_mixed(func, name, args, flat) -> None:
    if name in COPYING or name == "aten::set_":
        return
    others = [each for each in flat if isinstance(each, torch.Tensor) and not isinstance(each, PretendedTensor)]
    if name in INDEXING and isinstance(args[0], PretendedTensor):  # indices on the CPU are copied to the device
        indices = [each for each in args[1] if each is not None and not isinstance(each, PretendedTensor)]
        others = [each for each in others if all(each is not index for index in indices)]
        if indices:
            record("copy")
    # These operators treat a CPU tensor without dimensions as a number.
    takes_numbers = torch.Tag.pointwise in func.tags or name in INDEXING
    if any(each.dim() or not takes_numbers for each in others):
        record("mixed")


def _record_copy(name, args, kwargs, on_device) -> None:
    source = args[1] if name == "aten::copy_" else args[0]
    target = isinstance(args[0], PretendedTensor) if name == "aten::copy_" else on_device
    blocking = not (kwargs.get("non_blocking") or (name == "aten::copy_" and len(args) > 2 and args[2]))
    if isinstance(source, PretendedTensor) != target and blocking:
        record("copy" if target else "wait")
