"""Represent the values that a pickle would create, and check keys and calls in the pickle (see ``pickle_checks``)."""

import pickle
from typing import Any

from seesaw_d2.utils.messages import shown

MAX_VALUES = 10_000_000
MAX_DEPTH = 100
_PLAIN = (str, bytes, int, float, bool, type(None))
# ``check_call`` checks arguments that a function hashes, because hashing can take forever. Functions in _SETS hash the
# elements of their argument, and functions in _MAPPINGS hash the first element of each pair.
_SETS = ("set", "frozenset", "Counter")
_MAPPINGS = ("OrderedDict", "dict", "defaultdict")
# The results of these functions may be keys, because they are fast to hash. "scalar" returns a NumPy number. "encode"
# returns bytes, in pickles of protocol 2.
SCALARS = ("scalar", "encode")


class Node:
    """Placeholder for a value that a pickle would create.

    Attributes:
        kind: "list", "tuple", "dict", "set", "global" (a class or function), "scalar" (a NumPy number or bytes),
            "storage" (of a tensor) or "object" (any other value).
        items: the elements of a list or tuple, or the module and the name of a "global".
        depth: depth of nesting.
        size: number of nested values. A value that occurs several times is counted several times.
    """

    __slots__ = ("depth", "items", "kind", "size")

    def __init__(self, kind: str, items: list):
        self.kind, self.items, self.depth, self.size = kind, items, 0, 1
        self.count(items)

    def count(self, items: list) -> None:
        """Update ``depth`` and ``size`` of this value after ``items`` were added to it.

        Raises:
            pickle.UnpicklingError: the value is nested too deeply, or contains too many values.
        """
        for item in items:
            if isinstance(item, Node):
                self.depth, self.size = max(self.depth, item.depth + 1), self.size + item.size
        self.size += len(items)
        if self.depth > MAX_DEPTH:
            raise pickle.UnpicklingError(f"expected at most {MAX_DEPTH} nested levels, found {self.depth} levels")
        if self.size > MAX_VALUES:
            raise pickle.UnpicklingError(f"expected at most {MAX_VALUES} values, found {self.size} values")


def described(value: Any) -> str:
    """Return the kind of a plain value or a ``Node`` (placeholder) as text, such as "int" or "list"."""
    return value.kind if isinstance(value, Node) else type(value).__name__


def check_keys(keys: list) -> None:
    """Raise UnpicklingError unless all keys are text, bytes or numbers, which are fast to hash."""
    for key in keys:
        if not isinstance(key, _PLAIN) and not (isinstance(key, Node) and key.kind == "scalar"):
            raise pickle.UnpicklingError(f"expected text, bytes or a number as a key, found {described(key)}")


def check_call(module: str, name: str, arguments: list) -> None:
    """Check the arguments of a call if the function hashes its arguments, or allocates memory of a given size.

    Args:
        module, name: module and name of the function or class.
        arguments: arguments of the call, as plain values or ``Node``s.

    Raises:
        pickle.UnpicklingError: hashing could take forever, or the call could allocate any amount of memory.
    """
    first = arguments[0] if arguments else None
    if name in ("bytes", "bytearray") and isinstance(first, int):
        raise pickle.UnpicklingError(f"expected bytes as the argument of {name}, found the integer {shown(first)}")
    if module.startswith("torch") and name.endswith("Tensor") and arguments:
        raise pickle.UnpicklingError(f"expected no arguments for {name}, found {len(arguments)} arguments")
    if name not in (*_SETS, *_MAPPINGS) or isinstance(first, _PLAIN):
        return
    if not isinstance(first, Node) or first.kind not in ("list", "tuple", "dict", "set"):
        raise pickle.UnpicklingError(
            f"expected a list, tuple, set or dict as the argument of {name}, found {described(first)}"
        )
    if name in _SETS:
        check_keys(first.items)
    elif first.kind != "dict":
        pairs = [item.items for item in first.items if isinstance(item, Node) and item.kind in ("list", "tuple")]
        if len(pairs) != len(first.items) or not all(pairs):
            raise pickle.UnpicklingError(
                f"expected a list of pairs (key, value) as the argument of {name}, found an element without a key"
            )
        check_keys([pair[0] for pair in pairs])
