#!/usr/bin/env python
"""Print the commands that train the models in the Seesaw Loss paper's detection tables and in MMDetection's model zoo.

    python tools/paper_tables.py                      # all tables
    python tools/paper_tables.py --table 2            # all rows of Table 2
    python tools/paper_tables.py --table 2 --row 4 --num-gpus 8

The output folder of a row is output/paper/<table>/<row>. If two tables contain the same training, both rows have the
same command and the same output folder. The table "zoo" contains MMDetection's Seesaw Loss models.
tools/paper_tables.yaml contains the rows and their published results.
"""

import re
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from command_line import command, parser_of

FILE = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Row:
    """A model in a table of the Seesaw Loss paper or in MMDetection's model zoo.

    Attributes:
        table: number of the table in the paper, such as "2", or "zoo".
        number: number of the row in the table, from 1.
        name: name of the model.
        config: path of this project's config file for the model.
        overrides: config overrides KEY, VALUE, ....
        output: output folder. Rows with the same training have the same output folder.
        before: command to run first, or "" if no other command is necessary.
        eval_only: if True, the command only evaluates the weights in ``output``. If False, it trains a model.
        published: published metrics in percent: AP, APr, APc, APf and, if it is published, box AP. In the table "zoo",
            box AP and mask AP.
    """

    table: str
    number: int
    name: str
    config: str
    overrides: tuple[str, ...]
    output: str
    before: str
    eval_only: bool
    published: tuple[float, ...]

    def command(self, num_gpus: int = 8) -> str:
        """Return the command that trains or evaluates the model with ``num_gpus`` GPUs."""
        words = ["python", "train_net.py", "--config-file", self.config, "--num-gpus", str(num_gpus)]
        if self.eval_only:
            words += ["--eval-only", "MODEL.WEIGHTS", f"{self.output}/model_final.pth"]
        return " ".join(map(_quote, [*words, "OUTPUT_DIR", self.output, *self.overrides]))


def read_tables(path: Path = FILE) -> dict[str, list[Row]]:
    """Return a dict from the name of a table ("1" to "8", "zoo") to its rows."""
    import yaml

    folders = {}  # maps config and overrides of a training to its output folder
    tables = {}
    for key, entries in yaml.safe_load(path.read_text()).items():
        outputs = {}  # maps the name of a row in this table to its output folder
        tables[key.removeprefix("table")] = rows = []
        for entry in entries:
            overrides = entry.get("overrides") or {}
            folder = f"output/paper/{key}/{re.sub(r'[^a-z0-9.]+', '_', entry['name'].lower())}"
            if "eval_of" in entry:
                output = outputs[entry["eval_of"]]
            else:
                output = folders.setdefault((entry["config"], frozenset(overrides.items())), folder)
            outputs[entry["name"]] = output
            rows.append(_row(key.removeprefix("table"), len(rows) + 1, entry, output))
        for index, row in enumerate(rows):
            rows[index] = replace(row, before=row.before.format(**outputs) if row.before else "")
    return tables


def _row(table: str, number: int, entry: dict, output: str) -> Row:
    overrides = tuple(str(word) for pair in (entry.get("overrides") or {}).items() for word in pair)
    return Row(
        table=table,
        number=number,
        name=entry["name"],
        config=entry["config"],
        overrides=overrides,
        output=output,
        before=entry.get("before", ""),
        eval_only="eval_of" in entry,
        published=tuple(entry["published"]),
    )


def _quote(word: str) -> str:
    return f'"{word}"' if "'" in word else shlex.quote(word)


def describe(row: Row, num_gpus: int) -> str:
    """Return a shell comment with the name and the published metrics of a model, followed by its commands."""
    if row.table == "zoo":
        title, names = "zoo", ("box AP", "mask AP")
    else:
        title, names = f"Table {row.table}", ("AP", "APr", "APc", "APf", "box AP")
    # Some rows lack box AP, because the evaluation server of LVIS does not report it.
    numbers = ", ".join(f"{name} {value}" for name, value in zip(names, row.published, strict=False))
    lines = [f"# {title}, row {row.number}: {row.name}. Published: {numbers}", row.before, row.command(num_gpus)]
    return "\n".join(filter(None, lines))


@command
def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    tables = read_tables()
    parser.add_argument("--table", choices=tables, help="table to print (default: all)")
    parser.add_argument("--row", type=int, help="number of the row to print, from 1 (default: all)")
    parser.add_argument("--num-gpus", type=int, default=8, help="number of GPUs in the commands (default: 8)")
    args = parser.parse_args(arguments)
    if args.num_gpus < 1:
        parser.error(f"--num-gpus: expected an integer >= 1, found {args.num_gpus}")
    rows = [row for table in ([args.table] if args.table else tables) for row in tables[table]]
    if args.row is not None:
        if not args.table:
            parser.error("--row: --table is missing. Row numbers refer to a table.")
        if not 1 <= args.row <= len(rows):
            parser.error(f"--row: expected a number from 1 to {len(rows)} for table {args.table}, found {args.row}")
        rows = [rows[args.row - 1]]
    print("\n".join(describe(row, args.num_gpus) for row in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
