"""What a user can mend: every message names the key or file, the expectation and the finding."""


class SeesawError(ValueError):
    """A mistake in what was given to the program, as opposed to one in the program."""


class ConfigError(SeesawError):
    """A config key or a command-line argument is wrong."""


class DataError(SeesawError):
    """An annotation file or an image is wrong."""


class WeightsError(SeesawError):
    """A checkpoint is missing, unreadable or does not fit the model."""


class OutputError(SeesawError):
    """A file or folder cannot be written, or belongs to another run that is at work."""


class NonFiniteError(SeesawError):
    """A training has diverged: a loss or a gradient is nan or infinite."""
