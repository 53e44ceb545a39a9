#!/usr/bin/env python
"""Store the results of tools/compare.py in a small file, and format them as tables.

    python tools/run_results.py collect output/compare benchmarks/muscima_crops.json --commit d47aaa3
    python tools/run_results.py table benchmarks/muscima_crops.json --rows CE "Seesaw, q 0" --against CE
    python tools/run_results.py pooled benchmarks/muscima_crops.json --rows "CE, NLA, fold 1" "CE, NLA, fold 2"
    python tools/run_results.py order benchmarks/muscima_crops.json classification few CE=7.7 "Seesaw, q 1, NLA=21.4"

"collect" adds the finished runs in a folder to the file, and replaces runs with the same row and seed. For image
classifiers, "collect" computes two more metrics: "classes" is the accuracy averaged over the classes, and
"few precision" is the precision of predictions of few-shot classes.

"table" prints the mean ± standard deviation over the seeds as a Markdown table. With --against, "table" prints the
differences from another row, between runs with the same seed.

"pooled" prints the accuracies of image classifiers over all test images of several rows, such as folds.

"order" compares the ranking of rows by a metric with their ranking by published values. It prints Kendall's τ_b (1: the
same order, -1: the reverse) for the means over the seeds and each seed, and a note if the rows have different seeds.
"""

import json
import os
import re
import statistics
import sys
from pathlib import Path

import command_line
import compare
from comparison_rows import command_of, fail, tell_mixed_commands
from pooled_accuracy import classifiers, pooled
from published_order import order, parse_published

# Columns of per_class.csv, a file of the evaluation of an image classifier. "collect" stores them for each class.
COUNTS = ("train_images", "test_images", "correct", "predicted")


def read_runs(path: Path) -> list[dict]:
    """Return the runs in a file that the command "collect" wrote, or [] if the file does not exist.

    Raises:
        SeesawError: the file is not a list of runs, or contains a row and seed twice.
    """
    from seesaw_d2.utils.json_reading import load_json
    from seesaw_d2.utils.own_files import check_no_link

    check_no_link(path, "file")
    if not path.exists():
        return []
    runs = load_json(str(path), "expected a list of runs of this program")
    kinds = {"row": str, "seed": int, "command": str, "metrics": dict}
    if not isinstance(runs, list) or not all(
        isinstance(run, dict) and all(type(run.get(key)) is kind for key, kind in kinds.items()) for run in runs
    ):
        fail(f"{path}: expected a list of runs, as the command collect writes it, found other content")
    seen = set()
    for run in runs:
        key = run["row"], run["seed"]
        if key in seen:
            fail(f"{path}: expected one run of row {key[0]!r} with seed {key[1]}, found several. Remove all but one.")
        seen.add(key)
        compare.check_numbers(f"{path}: {run['row']}, seed {run['seed']}", run["metrics"])
    return runs


def read_run(folder: Path) -> dict | None:
    """Return a dict with the row, seed, command and metrics of the run in a folder, or None if it is not finished.

    For an image classifier, the dict also contains "classes" and "few_limit" (see ``_add_classes``).

    Raises:
        SeesawError: a file of the run is damaged.
    """
    from seesaw_d2.utils.json_reading import load_json_object

    if not compare.is_finished(folder):
        return None
    row = load_json_object(str(folder / compare.MARK), "expected the row of a comparison")
    words = row.get("overrides") or []
    texts = [row.get("name"), row.get("config"), row.get("after", "row"), row.get("convert", "program")]
    valid = isinstance(words, list) and all(isinstance(text, str) for text in texts + words)
    if not valid or not all(map(str.strip, texts)):
        fail(f"{folder / compare.MARK}: keys of the row (name, config, ...) are missing or have wrong types")
    seed = folder.name.removeprefix("seed")
    if not re.fullmatch(r"\d{1,18}", seed, re.ASCII):
        fail(f"{folder}: expected a folder with the name seed<number>, found {folder.name}")
    command, metrics = command_of(row, int(seed)), compare.read_results(folder)
    run = {"row": row["name"], "seed": int(seed), "command": command, "metrics": metrics}
    for per_class in folder.glob("inference/*/per_class.csv"):
        _add_classes(run, per_class)
    return run


def _add_classes(run: dict, path: Path) -> None:
    """Add "few_limit", "classes" (a dict from class name to ``COUNTS``) and two metrics to a run of a classifier.

    "few_limit" is the largest number of training images of a few-shot class, or -1 without few-shot classes.
    """
    from seesaw_d2.utils.text_tables import read_results_table

    classes = read_results_table(str(path), ("class", "shots"), COUNTS)
    run["classes"] = {line["class"]: [line[name] for name in COUNTS] for line in classes}
    accuracies = [100 * line["correct"] / line["test_images"] for line in classes if line["test_images"]]
    few = [line for line in classes if line["shots"] == "few"]
    run["few_limit"] = max((line["train_images"] for line in few), default=-1)
    called, right = (sum(line[name] for line in few) for name in ("predicted", "correct"))
    run["metrics"]["classification"] = {
        **run["metrics"].get("classification", {}),
        "classes": statistics.mean(accuracies) if accuracies else None,
        "few precision": 100 * right / called if called else None,
    }


def collect(folder: Path, commit: str, kept: list[dict]) -> list[dict]:
    """Return the earlier runs ``kept`` and the finished runs in a folder, by row and seed. Print unfinished ones.

    Raises:
        SeesawError: the folder has no finished run, two folders contain the same row and seed, or a file of a run is
            damaged.
    """
    found = {(run["row"], run["seed"]): run for run in kept}
    folders: dict[tuple[str, int], Path] = {}
    for path in sorted(folder.glob("*/seed*")):
        run = read_run(path)
        if run is None:
            print(f"not finished   {path}", file=sys.stderr)
            continue
        key = run["row"], run["seed"]
        if key in folders:
            fail(f"{path}: expected one folder with row {key[0]!r} and seed {key[1]}, found also {folders[key]}")
        folders[key] = path
        earlier = found.get(key, {})
        # Earlier versions stored incomplete commands, so the command does not show whether the run has changed.
        unchanged = {**run, "command": earlier.get("command")}.items() <= earlier.items()
        found[key] = {**earlier, **run} if unchanged else {**run, "commit": commit, "machine": machine()}
    if not folders:
        fail(f"{folder}: expected a folder with finished runs of tools/compare.py, found no finished run")
    return [found[key] for key in sorted(found)]


def machine() -> str:
    import torch

    return f"{os.cpu_count()} CPU cores, one thread a run, PyTorch {torch.__version__}"


def by_row(runs: list[dict], names: list[str] | None, against: str | None = None) -> dict[str, dict[int, dict]]:
    """Return a dict from the name of a row to a dict from seed to results. ``names`` selects and sorts the rows.

    Print a note to stderr for each of these rows whose runs have different commands.

    Raises:
        ConfigError: a row has no run, or there is no other row than ``against``, with which the rows are compared.
    """
    found: dict[str, dict[int, dict]] = {}
    for run in runs:
        found.setdefault(run["row"], {})[run["seed"]] = run["metrics"]
    rows = list(dict.fromkeys([*(names or found), *([] if against is None else [against])]))
    if unknown := set(rows) - found.keys():
        fail(f"name of a row: expected names from the list {', '.join(map(repr, found))}, found {min(unknown)!r}")
    if rows == [against]:
        fail(f"--against: expected another row than the only row to print, found {against!r}")
    tell_mixed_commands([run for run in runs if run["row"] in rows])
    return {name: found[name] for name in rows}


def columns_of(results: list[dict]) -> list[tuple[str, str]]:
    """Return (task, metric) for each column of a table. Tables of image classifiers have two additional columns."""
    columns = compare.columns_of(results)
    if any(task == "classification" for task, _ in columns):
        columns += [("classification", name) for name in ("classes", "few precision")]
    return columns


def table(rows: dict[str, dict[int, dict]], against: str | None = None) -> str:
    """Return a Markdown table with mean ± standard deviation over the seeds.

    Args:
        rows: dict from the name of a row to a dict from seed to results (dicts from task to metrics).
        against: name of a row. The table contains the differences from this row, over the seeds of both rows. If None,
            the table contains the metrics themselves.
    """
    from seesaw_d2.utils.escaping import markdown

    columns = columns_of([metrics for runs in rows.values() for metrics in runs.values()])
    header = ["", "seeds", *(f"{compare.METRICS[task][0]} {metric}".strip() for task, metric in columns)]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, runs in rows.items():
        if name == against:
            continue
        seeds = [seed for seed in runs if against is None or seed in rows[against]]
        values = [[_value(runs, rows, against, seed, *column) for seed in seeds] for column in columns]
        lines.append("| " + " | ".join([markdown(name), str(len(seeds)), *map(compare.cell, values)]) + " |")
    return "\n".join(lines)


def _value(runs, rows, against: str | None, seed: int, task: str, metric: str) -> float | None:
    value = runs[seed].get(task, {}).get(metric)
    other = 0 if against is None else rows[against][seed].get(task, {}).get(metric)
    return None if None in (value, other) else value - other


@command_line.command
def main(arguments=None) -> None:
    parser = command_line.parser_of(__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    add = commands.add_parser("collect").add_argument
    add("folder", type=Path, help="output folder of tools/compare.py")
    add("file", type=Path, help="JSON file to write or extend")
    add("--commit", required=True, type=command_line.not_blank, help="commit of the project that the runs used")
    add = commands.add_parser("table").add_argument
    add("file", type=Path, help="JSON file of collect")
    add("--rows", nargs="+", help="rows to print, in this order (default: all)")
    add("--against", help="row to which differences are printed")
    add = commands.add_parser("pooled").add_argument
    add("file", type=Path, help="JSON file of collect")
    add("--rows", nargs="+", required=True, help="rows whose test images are pooled")
    add("--seed", type=int, default=1, help="seed of the runs (default: 1)")
    add = commands.add_parser("order").add_argument
    add("file", type=Path, help="JSON file of collect")
    add("task", help="task of the metric: classification, bbox or segm")
    add("metric", help="metric to compare: few, AP, ...")
    add("published", nargs="+", metavar="ROW=VALUE", help="published values of at least two rows")
    args = parser.parse_args(arguments)
    from seesaw_d2.utils.atomic_files import write_text

    runs = read_runs(args.file)
    if args.what == "collect":
        runs = collect(args.folder, args.commit, runs)
        lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in runs)
        write_text(args.file, f"[\n{lines}\n]\n")
        print(f"{args.file}: {len(runs)} runs")
        return
    if not runs:
        fail(f"{args.file}: expected runs, found no runs. The command collect writes runs to this file.")
    if args.what == "pooled":
        by_row(runs, args.rows)  # raises an error for unknown names
        print(pooled(classifiers(runs, args.rows, args.seed, args.file)))
        return
    if args.what == "order":
        published = parse_published(args.published)
        print(order(by_row(runs, list(published)), args.task, args.metric, list(published.values())))
        return
    print(table(by_row(runs, args.rows, args.against), args.against))


if __name__ == "__main__":
    sys.exit(main())
