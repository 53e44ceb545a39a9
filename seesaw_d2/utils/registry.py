"""Define a registry with the interface of fvcore's registry, for modules that work without Detectron2 and fvcore."""

from collections.abc import Iterator
from typing import Any


class Registry:
    """Registry of classes. It supports ``name in registry``, and iteration over pairs (name, class).

    Args:
        name: name of the registry in error messages.
        base: class from which registered classes must derive.
    """

    def __init__(self, name: str, base: type):
        self._name = name
        self._base = base
        self._obj_map: dict[str, Any] = {}

    def register(self, item: Any = None) -> Any:
        """Register a class under its name. Without an argument, return a decorator that registers a class.

        Raises:
            TypeError: the class does not derive from the registry's base class.
            ValueError: the name is already registered.
        """
        if item is None:
            return self.register
        if not (isinstance(item, type) and issubclass(item, self._base)):
            raise TypeError(f"{self._name}: expected a subclass of {self._base.__name__}, found {item!r}")
        if item.__name__ in self._obj_map:
            raise ValueError(f"{self._name}: {item.__name__!r} is already registered. Choose another name.")
        self._obj_map[item.__name__] = item
        return item

    def get(self, name: str) -> Any:
        """Return the registered class with the name ``name``. Raise KeyError if there is none."""
        if name not in self._obj_map:
            raise KeyError(f"{self._name}: expected one of {', '.join(self._obj_map)}, found {name!r}")
        return self._obj_map[name]

    def __contains__(self, name: str) -> bool:
        return name in self._obj_map

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._obj_map.items())

    def __repr__(self) -> str:
        return f"{self._name}: {', '.join(self._obj_map)}"
