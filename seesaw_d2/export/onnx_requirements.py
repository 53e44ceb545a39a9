"""Check for the packages that ONNX export needs."""

from importlib.util import find_spec

from seesaw_d2.errors import ConfigError


def need(*names: str) -> None:
    """Raise ConfigError unless these packages of the extra ``export`` are installed."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"ONNX: expected the package{'s' if len(missing) > 1 else ''} {', '.join(missing)}, found none; install "
            "them with: pip install -e .[export]"
        )
