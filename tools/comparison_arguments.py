"""Parse the command line of ``compare.py``, and apply its config overrides to the rows of a comparison."""

import argparse
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from comparison_changes import check_distinct
from comparison_rows import choose, fail, own_key, read_rows

# Matches config keys such as "SOLVER.BASE_LR".
_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+")


def parse_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, list[dict]]:
    """Parse the arguments of ``compare.py``, and read the rows of the comparison.

    Args:
        parser: parser of the program without arguments. This function adds the arguments.
        arguments: the arguments, or None for those of the process.

    Returns:
        the parsed arguments, and the selected rows with the overrides of the command line (see ``read_rows``).

    Raises:
        ConfigError: the comparison or an override is invalid.
    """
    _add_arguments(parser)
    args = parser.parse_intermixed_args(arguments)
    rows = read_rows(args.file, args.comparison)
    # --rows and --seeds take all words that follow, including overrides KEY VALUE.
    names, first = _split(args.rows or [], {row["name"] for row in rows})
    seeds, second = _split(args.seeds, ())
    args.seeds = _seeds(parser, seeds)
    if args.jobs < 1:
        parser.error(f"--jobs: expected an integer >= 1, found {args.jobs}")
    if args.rows is not None and not names:
        parser.error("--rows: expected at least one name of a row")
    return args, _with_overrides(choose(rows, names), [*first, *second, *args.opts], compared=not args.commands)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=Path, help="YAML file with comparisons")
    add("comparison", help="name of a comparison in the file")
    add("--seeds", nargs="+", default=["1", "2", "3"], help="seeds of the runs (default: 1 2 3)")
    add("--jobs", type=int, default=1, help="number of parallel runs (default: 1)")
    add("--rows", nargs="+", help="names of the rows to run (default: all)")
    add("--output", type=Path, default=Path("output/compare"), help="output folder (default: output/compare)")
    add("--commands", action="store_true", help="print the commands and exit")
    add("opts", nargs="*", help="config overrides KEY VALUE ... for all rows")


def _split(words: list[str], names: Collection[str]) -> tuple[list[str], list[str]]:
    """Split the words of an option at the first config key. The names of the rows, ``names``, are not config keys."""
    keys = (index for index, word in enumerate(words) if _KEY.fullmatch(word) and word not in names)
    end = next(keys, len(words))
    return words[:end], words[end:]


def _seeds(parser: argparse.ArgumentParser, words: list[str]) -> list[int]:
    if not words or len(set(words)) < len(words) or not all(re.fullmatch(r"0|[1-9]\d*", word, re.A) for word in words):
        parser.error(f"--seeds: expected different integers >= 0, found {' '.join(words) or 'no seed'}")
    return [int(word) for word in words]


def _with_overrides(rows: list[dict], overrides: list[str], *, compared: bool) -> list[dict]:
    """Return the rows with the overrides of the command line at the end of their own overrides.

    Args:
        rows: the selected rows (see ``read_rows``).
        overrides: config overrides, a list KEY, VALUE, ....
        compared: whether to check that the rows still have different configs.

    Raises:
        ConfigError: the number of words is odd, a key has two values, a row sets the key to another value, or this
            program sets the key.
    """
    from seesaw_d2.arguments import check_pairs

    check_pairs("", overrides)
    given: dict[str, str] = {}
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        if given.setdefault(key, value) != value:
            fail(f"command line: {key}: expected one value, found {given[key]} and {value}")
    found = [{**row, "overrides": [*row["overrides"], *_added(row, given)]} for row in rows]
    if compared and given:
        check_distinct(found)
    return found


def _added(row: dict, given: dict[str, str]) -> list[str]:
    """Return the overrides of the command line that a row does not have, a list KEY, VALUE, ...."""
    own = dict(zip(row["overrides"][::2], row["overrides"][1::2], strict=True))
    for key, value in given.items():
        if set_by := own_key(key, row):
            fail(f"command line: {key}: expected no value, found {value}. {set_by} sets {key}.")
        if own.get(key, value) != value:
            fail(
                f"command line: {key}: expected {own[key]}, the value of row {row['name']!r}, or other rows in --rows, "
                f"found {value}"
            )
    return [word for key, value in given.items() if key not in own for word in (key, value)]
