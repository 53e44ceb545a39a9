"""Define errors that a user can correct. Messages name the key or file, the expected value and the found value."""

import re

# ``printable`` replaces these characters by escapes, because they can disturb a terminal: control characters except tab
# and line feed, line separators, characters that change the direction of text, and surrogates.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# An error message has at most this number of characters. In a longer message, an ellipsis replaces the middle.
MAX_LENGTH = 1800
_END = 400  # a shortened message keeps this number of characters after the ellipsis


def printable(text: str) -> str:
    r"""Replace control characters and surrogates in text by escapes such as ``\x1b``, ``\u202e`` and ``\ud800``."""
    return _CONTROLS.sub(lambda found: _escape(found.group()), text)


def one_line(text: str) -> str:
    """Convert text to one printable line. If it has more than 1,800 characters, replace the middle by an ellipsis."""
    return _bounded(printable(re.sub(r"\s*\n\s*", " ", _bounded(text))))


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - _END - 3]} … {text[-_END:]}"


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


class SeesawError(ValueError):
    """Base class of the errors that this package raises if a config, an argument or a file is wrong.

    Messages can contain names and values from files. Therefore the constructor converts each message to one printable
    line of limited length.
    """

    def __init__(self, message: object = ""):
        text = str(message).rstrip()
        if "Original Traceback" in text:  # from a data loader worker: keep the message at the end
            text = text.rpartition("\n")[2].partition(": ")[2]
        super().__init__(one_line(text))


class ConfigError(SeesawError):
    """Raised if a config key or a command-line argument is wrong."""


class DataError(SeesawError):
    """Raised if an annotation file or an image is wrong."""


class WeightsError(SeesawError):
    """Raised if a checkpoint does not exist, cannot be read or does not match the model."""


class OutputError(SeesawError):
    """Raised if a file or folder cannot be written, or if another running job uses it."""


class NonFiniteError(SeesawError):
    """Raised if a loss or a gradient is NaN or infinite, because the training has diverged."""
