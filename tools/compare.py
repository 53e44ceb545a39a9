#!/usr/bin/env python
"""Train the rows of a comparison with several seeds and print a table of mean ± standard deviation.

    python tools/compare.py tools/glyph_comparisons.yaml main --seeds 1 2 3 --jobs 2

A comparison is a list of rows in a YAML file. A row has a name, a config (relative to the project) and overrides:

    after     name of a row above; this row starts from its final weights, with the same seed
    convert   with "after": a command of tools/ with {weights}, {output} and {config}; the row is not trained, but the
              output of the command is evaluated

Each run is written to OUTPUT/<row>/seed<seed> and uses one thread. A row of several comparisons is trained once,
finished runs are not repeated, and interrupted runs are resumed. The table is written to OUTPUT/<comparison>.md.
"""

import json
import os
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import command_line

ROOT = Path(__file__).resolve().parent.parent
METRICS = {  # task in results.json -> its name in the table, and its metrics
    "bbox": ("box", ("AP", "APr", "APc", "APf")),
    "segm": ("mask", ("AP", "APr", "APc", "APf")),
    "sem_seg": ("", ("mIoU", "mIoU_rare", "mIoU_common", "mIoU_frequent", "pACC")),
    "classification": ("", ("overall", "many", "medium", "few", "ECE")),
}


def read_rows(path: Path, comparison: str) -> list[dict]:
    """Return the rows of a comparison, each with name, config and overrides (words of a command line)."""
    from seesaw_d2.utils.yaml_reading import read_yaml_file

    _, comparisons = read_yaml_file(str(path))
    if not isinstance(comparisons, dict) or comparison not in comparisons:
        known = ", ".join(map(str, comparisons)) if isinstance(comparisons, dict) else "a mapping of comparisons"
        raise SystemExit(f"error: {path}: expected one of {known}, found {comparison!r}")
    rows: list[dict] = []
    for row in _checked_rows(path, comparison, comparisons[comparison]):
        overrides = [str(word) for pair in (row.get("overrides") or {}).items() for word in pair]
        above = {known["name"] for known in rows}
        if "after" in row and row["after"] not in above:
            raise SystemExit(f"error: {path}: {row['name']}: after: expected a row above it, found {row['after']!r}")
        extra = {key: row[key] for key in ("after", "convert") if key in row}
        rows.append({"name": row["name"], "config": row["config"], "overrides": overrides, **extra})
    return rows


def _checked_rows(path: Path, comparison: str, rows) -> list[dict]:
    """Return the rows of a comparison if they have the right types. Otherwise exit with an error."""
    if not isinstance(rows, list) or not rows:
        raise SystemExit(f"error: {path}: {comparison}: expected a list of rows, found {str(rows)[:80]!r}")
    for number, row in enumerate(rows, 1):
        problem = _row_problem(row) if isinstance(row, dict) else f"expected a mapping, found {str(row)[:80]!r}"
        if problem:
            raise SystemExit(f"error: {path}: {comparison}: row {number}: {problem}")
    if twice := [row["name"] for row in rows if [each["name"] for each in rows].count(row["name"]) > 1]:
        raise SystemExit(f"error: {path}: {comparison}: expected different names, found {twice[0]!r} twice")
    return rows


def _row_problem(row: dict) -> str:
    """Return what is wrong with a row; "" if nothing is."""
    for key in ("name", "config", *({"after", "convert"} & row.keys())):
        value = row.get(key)
        if not isinstance(value, str) or not re.search(r"\w", value) or not value.isprintable():
            return f"{key}: expected text, found {str(value)[:80]!r}"
    overrides = row.get("overrides") or {}
    if not isinstance(overrides, dict) or not all(isinstance(key, str) for key in overrides):
        return f"overrides: expected config keys with values, found {str(overrides)[:80]!r}"
    if "convert" in row and "after" not in row:
        return "convert: expected also after, the row whose weights are converted, found none"
    try:
        row.get("convert", "").format(weights="", output="", config="")
    except (KeyError, IndexError, ValueError, AttributeError):
        return f"convert: expected no fields but {{weights}}, {{output}} and {{config}}, found {row['convert'][:80]!r}"
    return ""


def choose(rows: list[dict], names: list[str] | None) -> list[dict]:
    """Return the rows with these names and the rows they start from, in the order of the file. None: all rows."""
    if not names:
        return rows
    known = {row["name"]: row for row in rows}
    for name in names:
        if name not in known:
            raise SystemExit(f"error: --rows: expected some of {', '.join(map(repr, known))}, found {name!r}")
    wanted = set(names) | {known[name]["after"] for name in names if "after" in known[name]}
    return [row for row in rows if row["name"] in wanted]


def folder_of(name: str, seed: int, output: Path) -> Path:
    return output.absolute() / re.sub(r"\W+", "_", name).strip("_") / f"seed{seed}"


def commands_of(row: dict, seed: int, output: Path) -> list[list[str]]:
    """Return the commands of a row, to be run in the root of the project."""
    folder = folder_of(row["name"], seed, output)
    weights = folder / "model_final.pth"
    arguments = ["train_net.py", "--config-file", row["config"]]
    settings = ["SEED", str(seed), "OUTPUT_DIR", str(folder), *row["overrides"]]
    if "after" not in row:
        return [[*arguments, "--resume", *settings]]
    source = str(folder_of(row["after"], seed, output) / "model_final.pth")
    if "convert" not in row:
        return [[*arguments, "--resume", "MODEL.WEIGHTS", source, *settings]]
    words = {"weights": source, "output": weights, "config": row["config"]}
    convert = [word.format(**words) for word in f"tools/{row['convert']}".split()]
    return [convert, [*arguments, "--eval-only", "MODEL.WEIGHTS", str(weights), *settings]]


def train(row: dict, seed: int, output: Path) -> dict:
    """Run the commands of a row and seed unless there are results. Return the results."""
    folder = folder_of(row["name"], seed, output)
    _claim(folder, row)
    if not (folder / "model_final.pth").exists() or not list(folder.glob("inference/*/results.json")):
        print(f"start   {row['name']}, seed {seed}", flush=True)
        with open(folder / "stdout.txt", "a") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            for words in commands_of(row, seed, output):
                command = [sys.executable, *words]
                status = subprocess.call(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
                if status:
                    log_file = folder / "stdout.txt"
                    raise SystemExit(f"error: {row['name']}, seed {seed}: exit status {status}, see {log_file}")
        print(f"finish  {row['name']}, seed {seed}", flush=True)
    return _read_results(folder)


def _read_results(folder: Path) -> dict:
    """Return task -> metrics of the evaluation in a run folder."""
    from seesaw_d2.utils.json_reading import load_json_object

    paths = sorted(folder.glob("inference/*/results.json"))
    if len(paths) != 1:
        raise SystemExit(f"error: {folder}: expected the results of one data set, found {len(paths)}")
    results = load_json_object(str(paths[0]), "expected the results of an evaluation")
    for task in METRICS.keys() & results.keys():
        values = results[task].values() if isinstance(results[task], dict) else ["no mapping"]
        if not all(value is None or type(value) in (int, float) for value in values):
            raise SystemExit(f"error: {paths[0]}: {task}: expected numbers, found {str(results[task])[:80]!r}")
    return results


def _claim(folder: Path, row: dict) -> None:
    """Write the row to its folder. Refuse a folder that was used for another row."""
    mark, text = folder / "row.json", json.dumps(row, indent=1)
    if mark.exists() and mark.read_text() != text:
        raise SystemExit(f"error: {mark}: expected the row {text}, found another; remove {folder} to train again")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"error: {folder}: cannot be created as a folder: {error.strerror}") from None
    mark.write_text(text)


def run_all(rows: list[dict], seeds: list[int], output: Path, num_jobs: int) -> dict[str, list[dict]]:
    """Return row name -> results of each seed. A row waits for the row it starts from, which is submitted earlier."""
    running = {}

    def job(row, seed):
        if "after" in row:
            running[row["after"], seed].result()
        return train(row, seed, output)

    with ThreadPoolExecutor(num_jobs) as pool:
        try:
            for seed in seeds:
                for row in rows:
                    running[row["name"], seed] = pool.submit(job, row, seed)
            wait(running.values())
        except KeyboardInterrupt:  # the running trainings receive it, too, and save checkpoints
            pool.shutdown(wait=False, cancel_futures=True)
            print("no further run is started; run the same command to resume", file=sys.stderr, flush=True)
            raise
    return {row["name"]: [running[row["name"], seed].result() for seed in seeds] for row in rows}


def cell(values: list[float | None]) -> str:
    """Return mean ± standard deviation in percent, or a dash if a value is undefined."""
    if None in values:
        return "-"
    if len(values) < 2:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def table(results: dict[str, list[dict]]) -> str:
    """Return row name -> results of each seed as a Markdown table."""
    (first, *_), *_ = results.values()
    columns = [(task, metric) for task, (_, metrics) in METRICS.items() if task in first for metric in metrics]
    header = ["", *(f"{METRICS[task][0]} {metric}".strip() for task, metric in columns)]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, runs in results.items():
        cells = [cell([run.get(task, {}).get(metric) for run in runs]) for task, metric in columns]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


@command_line.command
def main(arguments=None) -> None:
    parser = command_line.parser_of(__doc__)
    parser.add_argument("file", type=Path, help="YAML file with comparisons")
    parser.add_argument("comparison", help="name of a comparison")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel runs")
    parser.add_argument("--rows", nargs="+", help="names of the rows; default: all")
    parser.add_argument("--output", type=Path, default=Path("output/compare"))
    parser.add_argument("--commands", action="store_true", help="print the commands and exit")
    args = parser.parse_args(arguments)
    rows = choose(read_rows(args.file, args.comparison), args.rows)
    if args.commands:
        for seed in args.seeds:
            for row in rows:
                for words in commands_of(row, seed, args.output):
                    print(" ".join(["python", *words]))
        return
    results = run_all(rows, args.seeds, args.output, args.jobs)
    text = table(results)
    (args.output / f"{args.comparison}.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
