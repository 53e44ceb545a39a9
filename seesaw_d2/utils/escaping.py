"""Escape text from data and files, such as category names, before a program displays it.

Terminals execute control codes, spreadsheets evaluate cells that begin with "=", matplotlib typesets text between
dollar signs (see ``drawing.plain_text``), and HTML and UTF-8 cannot encode unpaired surrogates.
"""

import re
from typing import Any

from seesaw_d2.errors import printable as printable

_FORMULA = re.compile(r"\s*[=+\-@\t\r]")


def cell(value: Any) -> Any:
    """Escape a value for a CSV file. Put an apostrophe before text that a spreadsheet would evaluate."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(value) else text


def markdown(text: str) -> str:
    r"""Escape text for a cell of a Markdown table, so that ``|``, HTML and other markup are displayed as text."""
    return re.sub(r"([\\|`\[\]<>])", r"\\\1", printable(text).replace("\n", " "))
