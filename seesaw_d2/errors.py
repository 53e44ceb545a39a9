"""Errors the user can fix. Each message names the key or file, what was expected and what was found."""

# Characters of a line of a message.
_LONGEST = 1800


class SeesawError(ValueError):
    """Base class of all errors of this package: a config, an argument or a file is wrong.

    The middle of very long lines of a message is omitted, because messages contain names and values from files.
    """

    def __init__(self, message: object = ""):
        super().__init__("\n".join(map(_bounded, str(message).split("\n"))))


def _bounded(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 403]} … {line[-400:]}"


class ConfigError(SeesawError):
    """A config key or a command-line argument is wrong."""


class DataError(SeesawError):
    """An annotation file or an image is wrong."""


class WeightsError(SeesawError):
    """A checkpoint is missing, unreadable or does not fit the model."""


class OutputError(SeesawError):
    """A file or folder cannot be written, or another running job uses it."""


class NonFiniteError(SeesawError):
    """Training has diverged: a loss or a gradient is NaN or infinite."""
