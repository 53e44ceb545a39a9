"""Pickles as data: arrays, numbers, text and plain containers. A pickle can otherwise run any code.

Nothing that a file names is ever imported or called: each of the few names allowed stands for a function or class of
this module, which checks what it is given. NumPy's own reading of its pickled types is not among them, as it trusts
the sizes and types that a file claims.
"""

import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any

import numpy as np

# Deeper than any file of weights: a few dictionaries around arrays.
_MAX_DEPTH = 100
_KINDS = "biufcSU"  # bool, integers, floats, complex numbers, text
_STORES = ("PUT", "BINPUT", "LONG_BINPUT")


class _Type:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: str, *_: Any):
        dtype = np.dtype(code) if isinstance(code, str) else np.dtype("O")
        if dtype.kind not in _KINDS or dtype.names is not None or dtype.subdtype is not None:
            raise pickle.UnpicklingError(f"holds an array of type {code!r}")
        self.dtype = dtype

    def __setstate__(self, state: tuple) -> None:
        # (version, byte order, ...): all else follows from the code.
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "="):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``, which is made empty and then filled."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, data_type, is_fortran, data = state
        self.value = _make_array(data, data_type, shape, "F" if is_fortran else "C")


def _make_array(data: bytes | str, data_type: _Type, shape: Any, order: str) -> np.ndarray:
    data = _bytes(data)
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise pickle.UnpicklingError(f"holds an array of shape {shape!r}")
    dtype = data_type.dtype
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise pickle.UnpicklingError(f"holds {len(data)} bytes for an array {dtype.str} of shape {shape}")
    flat = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
    array = flat.reshape(shape, order="F" if order == "F" else "C")
    return array.astype(dtype.newbyteorder("="))  # a copy, which may be written to


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(buffer: bytes, data_type: _Type, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.value = _make_array(buffer, data_type, shape, order)
    return array


def _scalar(data_type: _Type, data: bytes | str) -> Any:
    return _make_array(data, data_type, (), "C").item()


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1") if encoding in ("latin1", "latin-1") else text.encode("utf-8")


def _bytes(data: bytes | str = b"", *_: Any) -> bytes:
    # Python 2 has text. Not bytes(n), which takes n bytes of memory.
    return data.encode("latin1") if isinstance(data, str) else b"".join([data])


# What NumPy 1 and 2 write arrays and numbers with. "module.name" -> what stands for it.
STAND_INS: dict[str, Any] = {
    "numpy.dtype": _Type,
    "numpy.ndarray": _Array,
    "_codecs.encode": _encode,
    **{f"{module}.bytes": _bytes for module in ("builtins", "__builtin__")},
    **{
        f"numpy.{core}.{name}": function
        for core in ("core", "_core")
        for name, function in {
            "multiarray._reconstruct": _reconstruct,
            "multiarray.scalar": _scalar,
            "numeric._frombuffer": _from_buffer,
        }.items()
    },
}
_CONTAINERS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    **{f"{module}.set": set for module in ("builtins", "__builtin__")},
    **{f"{module}.bytearray": _bytes for module in ("builtins", "__builtin__")},
}


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], extra: Mapping[str, Any]):
        super().__init__(file, encoding="latin1")  # of the text that Python 2 wrote
        self.known = {**STAND_INS, **_CONTAINERS, **extra}

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        if path not in self.known:
            raise pickle.UnpicklingError(f"holds {path}")
        found = self.known[path]
        # A pickle can set attributes, such as the defaults of a function: those of one that nobody else has.
        return found if isinstance(found, type) else lambda *arguments: found(*arguments)


def load_plain_pickle(file: IO[bytes], extra: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """The content of a pickle of arrays and plain values.

    Args:
        file: open for reading, one in which places can be sought; a pickle begins where it stands.
        extra: more names, "module.name", and the function that stands for each.

    Raises:
        pickle.UnpicklingError: it holds something else, as ``holds module.name``.
        Exception: whatever pickle raises of a torn file.
    """
    start = file.tell()
    _check_opcodes(file)
    file.seek(start)
    return finish(_PlainUnpickler(file, extra).load())


def _check_opcodes(file: IO[bytes]) -> None:
    """Raise UnpicklingError for a few bytes that Python's unpickler takes gigabytes for: a memory cell far beyond.

    Whoever writes a pickle numbers them from 0 on.
    """
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in _STORES and isinstance(argument, int) and argument > number:
            raise pickle.UnpicklingError(f"stores a value in memory cell {argument} after {number} operations")


def finish(content: Any) -> Any:
    """``content`` with arrays where an unpickler has left what stands for them; containers are changed in place.

    Raises:
        pickle.UnpicklingError: it is nested more than a hundred deep.
    """
    return _finish(content, {}, 0)


def _finish(value: Any, seen: dict[int, Any], depth: int) -> Any:
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("holds an array without content")
        return value.value
    if isinstance(value, _Type):
        return value.dtype
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if depth > _MAX_DEPTH:
        raise pickle.UnpicklingError("nested too deeply")
    seen[id(value)] = value
    if isinstance(value, dict):
        for key in list(value):
            value[key] = _finish(value[key], seen, depth + 1)
    elif isinstance(value, list):
        value[:] = [_finish(item, seen, depth + 1) for item in value]
    elif type(value) is tuple:
        seen[id(value)] = tuple(_finish(item, seen, depth + 1) for item in value)
    return seen[id(value)]
