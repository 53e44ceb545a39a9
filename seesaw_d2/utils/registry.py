"""A registry with the interface of fvcore's, for modules that work without Detectron2 and fvcore."""

from collections.abc import Iterator
from typing import Any


class Registry:
    """Classes by name: iterates over pairs, and ``name in registry`` works.

    Args:
        name: name of the registry in errors.
    """

    def __init__(self, name: str):
        self._name = name
        self._obj_map: dict[str, Any] = {}

    def register(self, item: Any = None) -> Any:
        """Register a class under its name. Without an argument, return a decorator that does.

        Raises:
            ValueError: the name is already registered.
        """
        if item is None:
            return self.register
        if item.__name__ in self._obj_map:
            raise ValueError(f"{self._name}: expected a new name, found {item.__name__!r}, which is registered already")
        self._obj_map[item.__name__] = item
        return item

    def get(self, name: str) -> Any:
        """Return the class of this name, or raise KeyError."""
        if name not in self._obj_map:
            raise KeyError(f"{self._name}: expected one of {', '.join(self._obj_map)}, found {name!r}")
        return self._obj_map[name]

    def __contains__(self, name: str) -> bool:
        return name in self._obj_map

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._obj_map.items())

    def __repr__(self) -> str:
        return f"{self._name}: {', '.join(self._obj_map)}"
