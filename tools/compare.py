#!/usr/bin/env python
"""Train the rows of a comparison with several seeds and tabulate mean ± standard deviation.

    python tools/compare.py tools/glyph_comparisons.yaml main --seeds 1 2 3 --jobs 2

A comparison is a list of rows in a YAML file: name, config (relative to the project), and overrides. Each run goes to
OUTPUT/<row>/seed<seed>, with one thread per job; a row that stands in several comparisons is trained once, finished
runs are not repeated, and interrupted ones go on. The table goes to OUTPUT/<comparison>.md and to the terminal.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = [(task, metric) for task in ("bbox", "segm") for metric in ("AP", "APr", "APc", "APf")]


def read_rows(path: Path, comparison: str) -> list[dict]:
    """The rows of one comparison, each with name, config and overrides (words of a command line)."""
    comparisons = yaml.safe_load(path.read_text())
    if comparison not in comparisons:
        raise SystemExit(f"error: {path}: expected one of {', '.join(comparisons)}, found {comparison!r}")
    rows = []
    for row in comparisons[comparison]:
        overrides = [str(word) for pair in (row.get("overrides") or {}).items() for word in pair]
        rows.append({"name": row["name"], "config": row["config"], "overrides": overrides})
    return rows


def command_of(row: dict, seed: int, folder: Path) -> list[str]:
    """The training command of a row, to be run from the project's root."""
    arguments = ["--config-file", row["config"], "--resume", "SEED", str(seed), "OUTPUT_DIR", str(folder)]
    return [sys.executable, "train_net.py", *arguments, *row["overrides"]]


def train(row: dict, seed: int, output: Path) -> dict:
    """Run one training unless its results are there; return them."""
    folder = output / re.sub(r"\W+", "_", row["name"]).strip("_") / f"seed{seed}"
    if not (folder / "model_final.pth").exists() or not list(folder.glob("inference/*/results.json")):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"start   {row['name']}, seed {seed}", flush=True)
        with open(folder / "stdout.txt", "a") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            command = command_of(row, seed, folder.absolute())
            status = subprocess.call(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
        if status:
            raise SystemExit(f"error: {row['name']}, seed {seed}: exit status {status}, see {folder / 'stdout.txt'}")
        print(f"finish  {row['name']}, seed {seed}", flush=True)
    (results,) = folder.glob("inference/*/results.json")
    return json.loads(results.read_text())


def cell(values: list[float]) -> str:
    """mean ± standard deviation, in percent."""
    if len(values) < 2:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def table(results: dict[str, list[dict]]) -> str:
    """Row name -> results of each seed, as a Markdown table."""
    header = ["", *(f"{'box' if task == 'bbox' else 'mask'} {metric}" for task, metric in COLUMNS)]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, runs in results.items():
        cells = [cell([run[task][metric] for run in runs]) for task, metric in COLUMNS]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="YAML file of comparisons")
    parser.add_argument("comparison", help="the name of one of them")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--output", type=Path, default=Path("output/compare"))
    parser.add_argument("--commands", action="store_true", help="print the training commands and do nothing")
    args = parser.parse_args()
    rows = read_rows(args.file, args.comparison)
    jobs = [(row, seed) for seed in args.seeds for row in rows]
    if args.commands:
        for row, seed in jobs:
            print(" ".join(["python", *command_of(row, seed, args.output / "...")[1:]]))
        return 0
    with ThreadPoolExecutor(args.jobs) as pool:
        done = list(pool.map(lambda job: train(*job, args.output), jobs))
    results = {}
    for (row, _), result in zip(jobs, done, strict=True):
        results.setdefault(row["name"], []).append(result)
    text = table(results)
    (args.output / f"{args.comparison}.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
