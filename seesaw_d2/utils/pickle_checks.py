"""Check a pickle before unpickling it. The check simulates the pickle's operations without calling or hashing anything.

Python's unpicklers hash the keys in a pickle. A few bytes can define a tuple that is nested so deeply that hashing the
tuple takes forever and cannot be interrupted.
"""

import pickle
import pickletools
from collections.abc import Callable
from typing import IO, Any

from seesaw_d2.utils.pickle_values import SCALARS, Node, check_call, check_keys, described

_MAX_OPERATIONS = 10_000_000
_MAX_BITS = 1024  # maximum number of bits of an integer. Python refuses to print huge integers
_STORES = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_REFUSED = ("EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "PERSID")
_MARK = object()


class _Machine:
    """Simulated unpickler: its stack and its memo, with the operations that change them.

    Attributes:
        stack: values on the stack. A value is a plain value, a ``Node`` (placeholder for a container or object) or the
            mark, which separates the elements of a container from older values.
        memo: dict from memo index to a value that the pickle uses several times.
        storages: the persistent id of each tensor storage in a file of PyTorch, as the list of its elements.
    """

    def __init__(self) -> None:
        self.stack: list = []
        self.memo: dict[int, Any] = {}
        self.storages: list[list] = []

    def pop(self) -> Any:
        return self.stack.pop()

    def slice(self) -> list:
        """Remove and return the values above the last mark: the elements of a container to create."""
        index = len(self.stack) - 1
        while self.stack[index] is not _MARK:
            index -= 1  # if the stack has no mark, the loop ends with IndexError
        items = self.stack[index + 1 :]
        del self.stack[index:]
        return items

    def node(self, kind: str) -> Node:
        found = self.stack[-1]
        if not isinstance(found, Node) or (kind and found.kind != kind):
            raise pickle.UnpicklingError(
                f"expected {kind or 'an object'} as the target of an assignment, found {described(found)}"
            )
        return found

    def set_items(self, items: list) -> None:
        check_keys(items[::2])
        # An OrderedDict also accepts items, but its placeholder has the kind "object".
        is_dict = isinstance(self.stack[-1], Node) and self.stack[-1].kind == "dict"
        self.node("dict" if is_dict else "object").count(items)

    def append(self, items: list) -> None:
        found = self.node("list")
        found.items.extend(items)
        found.count(items)

    def add_items(self, items: list) -> None:
        check_keys(items)
        self.node("set").count(items)

    def call(self, arguments: Any, function: Any) -> None:
        if not isinstance(function, Node) or function.kind != "global":
            raise pickle.UnpicklingError(f"expected a function or class to call, found {described(function)}")
        if not isinstance(arguments, Node) or arguments.kind != "tuple":
            raise pickle.UnpicklingError(f"expected a tuple of arguments for a call, found {described(arguments)}")
        module, name = function.items
        check_call(module, name, arguments.items)
        kind = "scalar" if name in SCALARS else "object"
        self.stack.append(Node(kind, [arguments]))

    def build(self, state: Any) -> None:
        if isinstance(state, Node) and state.kind == "list":
            raise pickle.UnpicklingError("expected a dict or tuple as the state of an object, found list")
        self.node("").count([state])

    def load_storage(self, identity: Any) -> None:
        if not isinstance(identity, Node) or identity.kind != "tuple":
            raise pickle.UnpicklingError(f"expected a tuple as the id of a storage, found {described(identity)}")
        check_keys(identity.items[2:5])
        self.storages.append(identity.items)
        self.stack.append(Node("storage", []))


def _frozen(machine: _Machine, _: Any) -> None:
    items = machine.slice()
    check_keys(items)
    machine.stack.append(Node("object", items))


def _dict(machine: _Machine, _: Any) -> None:
    items = machine.slice()
    check_keys(items[::2])
    machine.stack.append(Node("dict", items))


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, _: Any) -> None:
        items = [machine.pop() for _ in range(count)][::-1]
        machine.stack.append(Node("tuple", items))

    return make


def _empty(kind: str) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(Node(kind, []))


def _class(machine: _Machine, arg: str) -> None:
    machine.stack.append(Node("global", arg.split(" ", 1)))


def _class_of_names(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise pickle.UnpicklingError(
            f"expected text as the module and the name of a class, found {described(module)}, {described(name)}"
        )
    machine.stack.append(Node("global", [module, name]))


def _put(machine: _Machine, arg: int | None) -> None:
    machine.memo[len(machine.memo) if arg is None else int(arg)] = machine.stack[-1]


def _get(machine: _Machine, arg: int) -> None:
    machine.stack.append(machine.memo[int(arg)])


_PAIR = (lambda m, _: m.set_items([m.pop(), m.pop()][::-1]), lambda m, _: m.set_items(m.slice()))
_ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": lambda m, _: m.stack.append(_MARK),
    "POP": lambda m, _: m.pop(),
    "POP_MARK": lambda m, _: m.slice(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "EMPTY_LIST": _empty("list"),
    "EMPTY_TUPLE": _empty("tuple"),
    "EMPTY_DICT": _empty("dict"),
    "EMPTY_SET": _empty("set"),
    "LIST": lambda m, _: m.stack.append(Node("list", m.slice())),
    "TUPLE": lambda m, _: m.stack.append(Node("tuple", m.slice())),
    "DICT": _dict,
    "FROZENSET": _frozen,
    **{f"TUPLE{count}": _tuple(count) for count in (1, 2, 3)},
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.slice()),
    "SETITEM": _PAIR[0],
    "SETITEMS": _PAIR[1],
    "ADDITEMS": lambda m, _: m.add_items(m.slice()),
    "GLOBAL": _class,
    "STACK_GLOBAL": _class_of_names,
    "REDUCE": lambda m, _: m.call(m.pop(), m.pop()),
    "NEWOBJ": lambda m, _: m.call(m.pop(), m.pop()),
    "BUILD": lambda m, _: m.build(m.pop()),
    "BINPERSID": lambda m, _: m.load_storage(m.pop()),
    **dict.fromkeys(_STORES, _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, _: None),
}


def check_pickle(file: IO[bytes]) -> tuple[Any, list[list]]:
    """Check one pickle, and leave the file positioned at the end of the pickle.

    Args:
        file: file, open for reading, positioned at the start of the pickle.

    Returns:
        the value that the pickle describes, as a plain value or a ``Node`` (placeholder), and the persistent ids of the
        tensor storages in a file of PyTorch, as lists.

    Raises:
        pickle.UnpicklingError: in one of these cases:

            - A key, or an element of a set, is not text, bytes or a number.
            - The values are nested more than 100 levels deep, or there are more than 10 million values.
            - An integer has more than 1024 bits.
            - A call would allocate memory of a size that the pickle chooses.
            - A memo index is larger than the number of operations before it. Python's unpickler would allocate all
              entries up to this index.
            - An operation creates an instance of a class as in pickle protocol 0, or uses extensions or buffers.
        Exception: the file is corrupt. The exception can have any type.
    """
    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        name = opcode.name
        if number > _MAX_OPERATIONS:
            raise pickle.UnpicklingError(f"expected at most {_MAX_OPERATIONS} operations, found {number} operations")
        if action := _ACTIONS.get(name):
            if name in _STORES and isinstance(argument, int) and argument > number:
                raise pickle.UnpicklingError(
                    f"expected a memo index of at most {number} after {number} operations, found {argument}"
                )
            action(machine, argument)
        elif name not in _REFUSED and not opcode.stack_before and opcode.stack_after:
            if isinstance(argument, int) and argument.bit_length() > _MAX_BITS:
                raise pickle.UnpicklingError(
                    f"expected integers of at most {_MAX_BITS} bits, found {argument.bit_length()} bits"
                )
            machine.stack.append(argument)
        else:
            raise pickle.UnpicklingError(f"expected operations that only build plain values, found operation {name}")
    (value,) = machine.stack
    return value, machine.storages
