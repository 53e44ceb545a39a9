"""Escape text from data and files, such as category names, for display.

Terminals execute control codes, spreadsheets evaluate cells that begin with "=", matplotlib typesets text between
dollar signs (see ``drawing.plain_text``), and HTML and UTF-8 cannot encode unpaired surrogates.
"""

import re
from typing import Any

# C0 and C1 controls except tab and line feed, marks that change the direction of text, unpaired surrogates.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile(r"\s*[=+\-@\t\r]")


def printable(text: str) -> str:
    r"""Return text with control codes and unpaired surrogates as escapes: ``\x1b``, ``\u202e``, ``\ud800``."""
    return _CONTROLS.sub(lambda found: _escape(found.group()), text)


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def cell(value: Any) -> Any:
    """Return a value for a CSV file. Text that a spreadsheet would evaluate gets a leading apostrophe."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(value) else text


def markdown(text: str) -> str:
    r"""Return text for a cell of a Markdown table, in which ``|``, HTML and other marks are text."""
    return re.sub(r"([\\|`\[\]<>])", r"\\\1", printable(text).replace("\n", " "))
