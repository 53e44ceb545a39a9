"""Declare which config keys a function reads, like the attribute ``config_keys`` of classes."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def reads(*keys: str) -> Callable[[Function], Function]:
    """Declare the full config keys that a function reads. A key that ends in ``.*`` means all keys below a node."""

    def declare(function: Function) -> Function:
        vars(function)["config_keys"] = keys
        return function

    return declare
