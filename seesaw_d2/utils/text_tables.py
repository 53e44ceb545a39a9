"""Read text files and CSV files. Error messages contain the file, the line and the column."""

import csv
import math
from collections.abc import Collection
from typing import Any

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import reason, shown
from seesaw_d2.utils.regular_files import irregular, open_regular

_LARGEST = 2**53  # floats represent all integers up to this number exactly


def read_lines(path: str) -> list[str]:
    """Return the lines of a text file.

    Raises:
        DataError: the file is missing, not a regular file, unreadable or not UTF-8.
    """
    if irregular(path):
        raise DataError(f"{path}: expected a text file, found {irregular(path)}")
    try:
        with open_regular(path, "r", encoding="utf-8-sig") as file:
            return list(file)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8, found invalid UTF-8 at byte offset {error.start}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the file: {error.strerror or error}") from None


def read_rows(path: str, columns: Collection[str]) -> list[tuple[str, dict[str, str]]]:
    """Read a CSV file with a header.

    Args:
        path: path of the file.
        columns: names of the required columns. The file may have further columns.

    Returns:
        for each row, a pair of its position "<path>, line <number>" and a dict from column to field.

    Raises:
        DataError: the file cannot be read or is not a CSV file in UTF-8, a column is missing or occurs twice in the
            header, or a row and the header have different numbers of fields.
    """
    reader, rows = csv.DictReader(read_lines(path)), []
    try:
        header = list(reader.fieldnames or ())
        if any(header.count(name) != 1 for name in columns):
            expected = f"expected a header with each of the columns {', '.join(columns)} once"
            raise DataError(f"{path}: {expected}, found the header {header}")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise DataError(
                    f"{where}: expected {len(header)} fields, as in the header, found {_fields(row)} fields"
                )
            rows.append((where, row))
    except csv.Error as error:
        raise DataError(f"{path}: cannot read this file as CSV: {reason(error)}") from None
    return rows


def read_results_table(
    path: str, texts: Collection[str], numbers: Collection[str], maybe: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Read a CSV file that an evaluation wrote, and convert the columns of numbers.

    Args:
        path: path of the file.
        texts: names of columns with text.
        numbers: names of columns with numbers.
        maybe: names of columns with numbers or empty fields. Empty fields become None.

    Returns:
        for each row, a dict from column to value.

    Raises:
        DataError: the file cannot be read, is not a CSV file with these columns, or has text or a number outside of
            [0, 2^53] in a column of numbers.
    """
    found: list[dict[str, Any]] = []
    for where, row in read_rows(path, [*texts, *numbers, *maybe]):
        values: dict[str, Any] = {name: row[name] for name in texts}
        values |= {name: _number(row[name], f"{where}: {name}") for name in numbers}
        values |= {name: _number(row[name], f"{where}: {name}") if row[name] else None for name in maybe}
        found.append(values)
    return found


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LARGEST:
        raise DataError(f"{where}: expected a number from 0 to 2^53, found {shown(text)}")
    return int(value) if value == int(value) and text.isdigit() else value


def _fields(row: dict) -> int:
    return sum(1 for value in row.values() if value is not None) + len(row.get(None, [None])) - 1
