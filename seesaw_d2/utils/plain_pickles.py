"""Read pickles of arrays, numbers, text and plain containers without running code in the pickle.

A pickle contains names of functions and classes. This module never imports or calls them. It replaces each allowed name
by a function or class of this module, which checks the arguments. NumPy's functions would not check the sizes and types
in the file.
"""

import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any

import numpy as np

from seesaw_d2.utils.messages import shortened, shown
from seesaw_d2.utils.pickle_checks import check_pickle
from seesaw_d2.utils.pickle_values import MAX_DEPTH

_KINDS = "biufcSU"  # allowed dtype.kind: bool, signed and unsigned integers, floats, complex, bytes, text


class _Type:
    """Replacement for ``numpy.dtype`` during unpickling. It accepts only data types of numbers and text."""

    def __init__(self, code: str, *_: Any):
        dtype = np.dtype(code) if isinstance(code, str) else np.dtype("O")
        if dtype.kind not in _KINDS or dtype.names is not None or dtype.subdtype is not None:
            raise pickle.UnpicklingError(f"expected an array of numbers or text, found an array of type {shown(code)}")
        self.dtype = dtype

    def __setstate__(self, state: tuple) -> None:
        # The state is (version, byte order, ...). Use only the byte order, because ``code`` defines everything else.
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "="):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Replacement for ``numpy.ndarray`` during unpickling. ``__setstate__`` creates the array ``value``."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, data_type, is_fortran, data = state
        self.value = _make_array(data, data_type, shape, "F" if is_fortran else "C")


def _make_array(data: bytes | str, data_type: _Type, shape: Any, order: str) -> np.ndarray:
    data = _bytes(data)
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise pickle.UnpicklingError(f"expected integers >= 0 as the shape of an array, found {shown(shape)}")
    dtype = data_type.dtype
    needed = math.prod(shape) * dtype.itemsize
    if len(data) != needed:
        raise pickle.UnpicklingError(
            f"expected {needed} bytes for an array of type {dtype.str} and shape {shown(shape)}, found {len(data)} "
            "bytes"
        )
    flat = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
    array = flat.reshape(shape, order="F" if order == "F" else "C")
    return array.astype(dtype.newbyteorder("="))  # copies the array, because frombuffer returns a read-only array


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
    # Pickles of Python 2 contain bytes as text. Do not call bytes(data): if ``data`` is a huge integer, it would fill
    # the memory, whereas join raises an error.
    return data.encode("latin1") if isinstance(data, str) else b"".join([data])


# Pickles of NumPy 1 and 2 name functions and classes, such as "numpy.dtype". Maps each name to a safe replacement,
# which is called instead.
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
        super().__init__(file, encoding="latin1")  # Latin-1 can decode every byte string of Python 2
        self.known = {**STAND_INS, **_CONTAINERS, **extra}

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        if path not in self.known:
            raise pickle.UnpicklingError(f"expected arrays and plain values, found {shortened(path)}")
        found = self.known[path]
        # A pickle can change attributes of a function, such as its default arguments. Return a new function for each
        # pickle, so that the change does not affect other pickles.
        return found if isinstance(found, type) else lambda *arguments: found(*arguments)


def load_plain_pickle(file: IO[bytes], extra: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return the content of a pickle of arrays and plain values.

    Args:
        file: seekable file, open for reading, positioned at the start of the pickle.
        extra: further allowed functions and classes, a dict from "module.name" to the replacement to call instead.

    Raises:
        pickle.UnpicklingError: the pickle contains a class or function that is not allowed, or dangerous values, such
            as deep nesting (see ``check_pickle``). In the first case, the message ends with ``module.name``.
        Exception: the file is corrupt. The exception can have any type.
    """
    start = file.tell()
    check_pickle(file)
    file.seek(start)
    return finish(_PlainUnpickler(file, extra).load())


def finish(content: Any) -> Any:
    """Replace ``_Array`` and ``_Type`` in the content of a pickle by arrays and data types, in place where possible.

    Raises:
        pickle.UnpicklingError: ``content`` is nested more than 100 levels deep.
    """
    return _finish(content, {}, 0)


def _finish(value: Any, seen: dict[int, Any], depth: int) -> Any:
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("expected content for each array, found an array without content")
        return value.value
    if isinstance(value, _Type):
        return value.dtype
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if depth > MAX_DEPTH:
        raise pickle.UnpicklingError(f"expected at most {MAX_DEPTH} nested levels, found {depth} levels")
    seen[id(value)] = value
    if isinstance(value, dict):
        for key in list(value):
            value[key] = _finish(value[key], seen, depth + 1)
    elif isinstance(value, list):
        value[:] = [_finish(item, seen, depth + 1) for item in value]
    elif type(value) is tuple:
        seen[id(value)] = tuple(_finish(item, seen, depth + 1) for item in value)
    return seen[id(value)]
