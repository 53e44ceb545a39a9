"""Errors the user can fix. Each message names the key or file, what was expected and what was found."""

import re

# C0 and C1 controls except tab and line feed, marks that change the direction of text, halves of surrogate pairs.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Characters of a line of a message.
_LONGEST = 1800
# Characters of an error message.
MAX_LENGTH = 10_000


def printable(text: str) -> str:
    r"""Return text with control codes and half characters as escapes: ``\x1b``, ``\u202e``, ``\ud800``."""
    return _CONTROLS.sub(lambda found: _escape(found.group()), text)


def one_line(text: str) -> str:
    """Return up to ``MAX_LENGTH`` characters of a text as one printable line, with spaces for ends of lines."""
    end = f"… ({len(text)} characters)" if len(text) > MAX_LENGTH else ""
    return printable(re.sub(r"\s*\n\s*", " ", text[:MAX_LENGTH])) + end


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


class SeesawError(ValueError):
    """Base class of all errors of this package: a config, an argument or a file is wrong.

    The message is shown as one printable line. The middle of a long one is left out, because messages have names and
    values of files.
    """

    def __init__(self, message: object = ""):
        super().__init__("\n".join(map(_bounded, str(message).split("\n"))))

    def __str__(self) -> str:
        text = super().__str__()
        if "Original Traceback" in text:  # of a loader's worker; PyTorch puts it around the message
            text = text.strip().splitlines()[-1].split(": ", 1)[-1]
        return one_line(text)


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
