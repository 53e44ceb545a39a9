"""Errors the user can fix. Each message names the key or file, what was expected and what was found."""

import re

# C0 and C1 controls except tab and line feed, marks that change the direction of text, halves of surrogate pairs.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Characters of an error message.
MAX_LENGTH = 1800
_END = 400  # of them after the part that is left out


def printable(text: str) -> str:
    r"""Return text with control codes and half characters as escapes: ``\x1b``, ``\u202e``, ``\ud800``."""
    return _CONTROLS.sub(lambda found: _escape(found.group()), text)


def one_line(text: str) -> str:
    """Return text as one printable line, without the middle if it is longer than ``MAX_LENGTH`` characters."""
    return _bounded(printable(re.sub(r"\s*\n\s*", " ", _bounded(text))))


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - _END - 3]} … {text[-_END:]}"


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


class SeesawError(ValueError):
    """Base class of all errors of this package: a config, an argument or a file is wrong.

    The message becomes one printable line of limited length, because it has names and values of files.
    """

    def __init__(self, message: object = ""):
        text = str(message).rstrip()
        if "Original Traceback" in text:  # PyTorch raises the error of a loader's worker again, with its traceback
            text = text.rpartition("\n")[2].partition(": ")[2]
        super().__init__(one_line(text))


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
