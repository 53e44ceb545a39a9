"""Functions that declare which config keys they read, as classes do by ``config_keys``."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def reads(*keys: str) -> Callable[[Function], Function]:
    """Declare the config keys that a function reads, in full; one that ends with ``.*`` is all keys below a node."""

    def declare(function: Function) -> Function:
        vars(function)["config_keys"] = keys
        return function

    return declare
