"""Errors the user can fix. Each message names the key or file, what was expected and what was found."""


class SeesawError(ValueError):
    """Base class of all errors of this package: a config, an argument or a file is wrong."""


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
