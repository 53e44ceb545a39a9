"""Escape text from data and files, such as category names, before a program displays the text.

Terminals execute control codes. Spreadsheets evaluate cells that begin with "=". Matplotlib typesets text between
dollar signs as formulas (see ``drawing.plain_text``). HTML and UTF-8 cannot encode unpaired surrogates.
"""

import re
from typing import Any

from seesaw_d2.errors import printable as printable

_FORMULA = re.compile(r"\s*[=+\-@\t\r]")


def cell(value: Any) -> Any:
    """Escape text for a cell of a CSV file. Text that a spreadsheet would evaluate gets an apostrophe in front.

    Values that are not text are returned unchanged.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(value) else text


def markdown(text: str) -> str:
    r"""Escape text for a cell of a Markdown table, so that ``|``, HTML and other markup are displayed as text."""
    return re.sub(r"([\\|`\[\]<>])", r"\\\1", printable(text).replace("\n", " "))
