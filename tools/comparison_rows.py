"""Read and check the rows (models) of a comparison for ``compare.py``."""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

TOOLS = Path(__file__).resolve().parent
# Config keys that the program sets in each run, so that the overrides of a row must not contain them.
_OWN_KEYS = ("OUTPUT_DIR", "SEED")


def fail(message: str) -> NoReturn:
    """Raise ConfigError with a message. This function imports the package late, to keep ``--help`` fast."""
    from seesaw_d2.errors import ConfigError

    raise ConfigError(message)


def read_rows(path: Path, comparison: str) -> list[dict]:
    """Read the rows of a comparison from a YAML file. Each row describes a model to train.

    Args:
        path: the YAML file.
        comparison: name of a comparison in the file.

    Returns:
        a list of rows, dicts with the keys "name", "config" and "overrides" (a list of words), and the optional keys
        "after" and "convert".

    Raises:
        ConfigError: the file cannot be read or does not contain the comparison, or a row is invalid.
    """
    from seesaw_d2.utils.messages import first_few, shown
    from seesaw_d2.utils.yaml_reading import read_yaml_file

    _, comparisons = read_yaml_file(str(path))
    if not isinstance(comparisons, dict):
        fail(f"{path}: expected a mapping of comparisons, found {shown(comparisons)}")
    if comparison not in comparisons:
        fail(f"{path}: expected one of the comparisons {first_few(comparisons, 20)}, found {shown(comparison)}")
    rows, above = [], set()
    for row in _checked_rows(f"{path}: {comparison}", comparisons[comparison]):
        overrides = [str(word) for pair in (row.get("overrides") or {}).items() for word in pair]
        if "after" in row and row["after"] not in above:
            fail(f"{path}: {row['name']}: after: expected the name of an earlier row, found {row['after']!r}")
        extra = {key: row[key] for key in ("after", "convert") if key in row}
        rows.append({"name": row["name"], "config": row["config"], "overrides": overrides, **extra})
        above.add(row["name"])
    return rows


def choose(rows: list[dict], names: Sequence[str] | None) -> list[dict]:
    """Return the rows with the given names, and the rows from whose weights they start, directly or indirectly.

    Args:
        rows: all rows of the comparison, dicts with "name" and, if a row starts from another row's weights, "after".
        names: names of rows, or None for all rows.

    Returns:
        the selected rows, in the order of ``rows``.
    """
    if not names:
        return rows
    known = {row["name"]: row for row in rows}
    for name in names:
        if name not in known:
            fail(f"--rows: expected names from the list {', '.join(map(repr, known))}, found {name!r}")
    wanted = set(names)
    for row in reversed(rows):  # "after" names an earlier row
        if row["name"] in wanted and "after" in row:
            wanted.add(row["after"])
    return [row for row in rows if row["name"] in wanted]


def conversion(row: dict, weights: str, output: str) -> list[str]:
    """Split the command "convert" of a row into words, such as "tau_normalize.py {weights} {output} --tau 0.5".

    Args:
        row: row of the comparison. Its config and its config overrides replace ``{config}`` and ``{overrides}``.
        weights, output: paths that replace the words ``{weights}`` and ``{output}``.
    """
    fields = {"{weights}": [weights], "{output}": [output], "{config}": [row["config"]]}
    fields["{overrides}"] = row["overrides"]
    program, *words = row["convert"].split()
    return [f"tools/{program}", *(value for word in words for value in fields.get(word, [word]))]


def folder_name(row: str) -> str:
    """Return the name of the folder with the runs of a row: the name of the row, in which "_" replaces punctuation."""
    return re.sub(r"\W+", "_", row).strip("_")


def command_of(row: dict, seed: int) -> str:
    """Return the shell command that trains and evaluates the model of a row with a seed, to store with its results.

    The command contains no OUTPUT_DIR. Paths of weights are relative to the output folder of ``compare.py``.

    Args:
        row: row of the comparison, a dict with "name", "config" and, optionally, "overrides", "after" and "convert".
        seed: seed of the run.
    """
    start, settings = f"python train_net.py --config-file {row['config']}", f"SEED {seed}"
    settings += "".join(f" {shlex.quote(word)}" for word in row.get("overrides") or ())
    if "after" not in row:
        return f"{start} {settings}"
    source, own = (f"{folder_name(name)}/seed{seed}/model_final.pth" for name in (row["after"], row["name"]))
    if "convert" not in row:
        return f"{start} MODEL.WEIGHTS {source} {settings}"
    convert = shlex.join(["python", *conversion({**row, "overrides": row.get("overrides") or []}, source, own)])
    return f"{convert} && {start} --eval-only MODEL.WEIGHTS {own} {settings}"


def own_key(key: str, row: dict) -> str:
    """Return what sets a config key, so that overrides must not contain it, or "" if overrides can contain it."""
    if key in _OWN_KEYS:
        return "This program"
    if key == "MODEL.WEIGHTS" and "after" in row:
        return f"The key after of row {row['name']!r}"
    return ""


def _checked_rows(place: str, rows: Any) -> list[dict]:
    """Check ``rows``, the rows of a comparison in a YAML file, and return them.

    Raises:
        ConfigError: a type is wrong, a key is missing, or a name occurs twice. The message begins with ``place``, the
            file and the name of the comparison.
    """
    from seesaw_d2.utils.messages import shown

    if not isinstance(rows, list) or not rows:
        fail(f"{place}: expected a list of rows, found {shown(rows)}")
    seen = set()
    for number, row in enumerate(rows, 1):
        problem = _row_problem(row) if isinstance(row, dict) else f"expected a mapping, found {shown(row)}"
        if problem:
            fail(f"{place}: row {number}: {problem}")
        if row["name"] in seen:
            fail(f"{place}: expected different row names, found {row['name']!r} twice")
        seen.add(row["name"])
    return rows


def _row_problem(row: dict) -> str:
    """Return a description of the first problem in a row, or "" if the row is valid."""
    from seesaw_d2.utils.messages import shown

    for key in ("name", "config", *({"after", "convert"} & row.keys())):
        value = row.get(key)
        if not isinstance(value, str) or not re.search(r"\w", value) or not value.isprintable() or len(value) > 150:
            expected = "printable text of at most 150 characters with a letter or digit"
            return f"{key}: expected {expected}, found {shown(value)}"
    overrides = row.get("overrides") or {}
    if not isinstance(overrides, dict) or not all(isinstance(key, str) for key in overrides):
        return f"overrides: expected a mapping from config keys to values, found {shown(overrides)}"
    for key, value in overrides.items():
        if set_by := own_key(key, row):
            return f"overrides: {key}: expected no value, found {shown(value)}. {set_by} sets {key}."
    if "convert" not in row:
        return ""
    if "after" not in row:
        return "after: expected the name of a row, found no value. The command in convert reads weights of that row."
    return _convert_problem(row["convert"])


def _convert_problem(convert: str) -> str:
    """Return a description of the first problem in the command "convert", or "" if the command is valid."""
    program, *words = convert.split()
    if not re.fullmatch(r"\w+\.py", program) or not (TOOLS / program).is_file():
        return f"convert: expected a program of tools/ as the first word, found {program!r}"
    missing = {"{weights}", "{output}"}.difference(words)
    wrong = [word for word in words if word not in _FIELDS and not re.fullmatch(r"[\w.,=+-]+", word)]
    if wrong or missing:
        return (
            "convert: expected a command with {weights}, {output}, optionally {config} and {overrides}, and no other "
            f"paths, found {convert!r}"
        )
    return ""


_FIELDS = ("{weights}", "{output}", "{config}", "{overrides}")


def tell_mixed_commands(runs: list[dict]) -> None:
    """Print a note to stderr for each row whose runs have different commands, apart from the seed.

    Args:
        runs: dicts with the keys "row" (name of the row), "seed" and "command", as ``run_results.py`` stores them.
    """
    commands: dict[str, dict[str, int]] = {}
    for run in runs:
        command = run["command"].replace(f" SEED {run['seed']}", "", 1).replace(f"/seed{run['seed']}/", "/")
        commands.setdefault(run["row"], {}).setdefault(command, run["seed"])
    for row, found in commands.items():
        if len(found) > 1:
            listed = "; ".join(f"seed {seed}: {command}" for command, seed in found.items())
            print(f"note: row {row!r}: the runs differ in more than the seed. {listed}", file=sys.stderr)
