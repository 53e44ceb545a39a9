"""Check that the packages for ONNX export are installed."""

from importlib.util import find_spec

from seesaw_d2.errors import ConfigError


def need(*names: str) -> None:
    """Raise ConfigError if a package in ``names`` is not installed. ``pip install -e .[export]`` installs them all."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"--format onnx: the ONNX export needs the packages {', '.join(names)}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed. Run: pip install -e .[export]"
        )
