#!/usr/bin/env python
"""Train the models of a comparison with several seeds, and print a table of mean ± standard deviation.

    python tools/compare.py tools/glyph_comparisons.yaml main --seeds 1 2 3 --jobs 2
    python tools/compare.py tools/muscima_comparisons.yaml tiles --seeds 1 2 3 SOLVER.AMP.ENABLED False

A comparison is a list of rows in a YAML file. Each row defines a model. A row has the keys "name", "config" (path
relative to the project) and "overrides". Two keys are optional:

    after     name of an earlier row. Training starts from the final weights of that row with the same seed.
    convert   command of tools/ with {weights}, {output} and, optionally, {config} and {overrides}. Needs "after". The
              row is not trained. Instead, the command converts the weights of the row "after", and the converted
              weights are evaluated. {overrides} stands for the overrides of the row and of the command line.

A run is a row with a seed. Each run uses one thread and is written to OUTPUT/<row>/seed<seed>. If several comparisons
contain the same row, the program trains this row only once. The program skips finished runs, and resumes interrupted
runs. If the config of a row, or the weights from which it starts, have changed since its run, the program raises an
error. The table is written to OUTPUT/<comparison>.md.

Config overrides at the end of the command line apply to all rows. They belong to the config of a run, so the next call
with the same output folder needs the same overrides.
"""

import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import command_line
from comparison_arguments import parse_arguments
from comparison_changes import ROOT, SAVED, check_source, check_unchanged, config_of, is_finished
from comparison_rows import conversion, fail, folder_name

# File in each run folder that stores the row of the comparison as JSON, to recognize a run of another row.
MARK = "row.json"
_LOG = "stdout.txt"
# First line of each table. The program does not overwrite files without this line.
_TABLE = "<!-- Made by tools/compare.py. -->"
# Columns of the table. Maps a task in results.json to its name in the header, and to the names of its metrics.
METRICS = {
    "bbox": ("box", ("AP", "APr", "APc", "APf")),
    "segm": ("mask", ("AP", "APr", "APc", "APf")),
    "sem_seg": ("", ("mIoU", "mIoU_rare", "mIoU_common", "mIoU_frequent", "pACC")),
    "classification": ("", ("overall", "many", "medium", "few", "ECE")),
}
_COLUMNS = [f"{task} {metric}".strip() for task, metrics in METRICS.values() for metric in metrics]
# Matches files with a table of this program. In earlier versions, the files did not have the first line, and contained
# only the table.
_OWN_TABLE = re.compile(
    rf"{re.escape(_TABLE)}|\A\|  \|(?: (?:{'|'.join(_COLUMNS)}) \|)+\n[|-]+\n(?:\|.*\|\n)*\Z".encode()
)


def folder_of(name: str, seed: int, output: Path) -> Path:
    """Return the folder of a run, ``output``/<row>/seed<seed>. In the name of the row, "_" replaces punctuation."""
    from seesaw_d2.utils.untrusted_paths import below

    return Path(below(str(output.absolute()), folder_name(name), "name of a row"), f"seed{seed}")


def commands_of(row: dict, seed: int, output: Path) -> list[list[str]]:
    """Return the commands that train and evaluate the model of a row with a seed, each a list of arguments of Python.

    The commands must run in the root folder of the project.
    """
    folder = folder_of(row["name"], seed, output)
    weights = folder / "model_final.pth"
    arguments = ["train_net.py", "--config-file", row["config"]]
    settings = ["SEED", str(seed), "OUTPUT_DIR", str(folder), *row["overrides"]]
    if "after" not in row:
        return [[*arguments, "--resume", *settings]]
    source = str(folder_of(row["after"], seed, output) / "model_final.pth")
    if "convert" not in row:
        return [[*arguments, "--resume", "MODEL.WEIGHTS", source, *settings]]
    evaluation = [*arguments, "--eval-only", "MODEL.WEIGHTS", str(weights), *settings]
    return [conversion(row, source, str(weights)), evaluation]


def train(row: dict, seed: int, output: Path) -> dict:
    """Train and evaluate the model of a row with a seed, unless this is done. Return a dict from task to metrics."""
    folder = folder_of(row["name"], seed, output)
    if "after" in row:
        check_source(row, folder, folder_of(row["after"], seed, output) / "model_final.pth")
    if not is_finished(folder):
        print(f"start   {row['name']}, seed {seed}", flush=True)
        converted = "convert" in row and (folder / "model_final.pth").exists()  # evaluation was interrupted
        with open(folder / _LOG, "a") as log:
            env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            for words in commands_of(row, seed, output)[int(converted) :]:
                status = subprocess.call([sys.executable, *words], cwd=ROOT, stdout=log, stderr=log, env=env)
                if status:
                    fail(f"{row['name']}, seed {seed}: a command failed with exit status {status}. See {log.name}.")
        print(f"finish  {row['name']}, seed {seed}", flush=True)
    return read_results(folder)


def read_results(folder: Path) -> dict:
    """Return the results of the evaluation in a run folder, a dict from task to metrics.

    Raises:
        SeesawError: the results are damaged, or a later evaluation with other settings replaced the results of the run.
    """
    from seesaw_d2.evaluation.evaluation_settings import SETTINGS_FILE, describe_settings, read_settings
    from seesaw_d2.utils.json_reading import load_json_object

    paths = sorted(folder.glob("inference/*/results.json"))
    if len(paths) != 1:
        fail(f"{folder}: expected inference/*/results.json of 1 dataset, found such files of {len(paths)} datasets")
    if found := read_settings(str(paths[0].parent)):
        fail(
            f"{paths[0].parent / SETTINGS_FILE}: expected results of the run, found an evaluation with other settings: "
            f"{describe_settings(found)}. Evaluate the run's model_final.pth again with the run's settings."
        )
    results = load_json_object(str(paths[0]), "expected the results of an evaluation")
    check_numbers(str(paths[0]), results)
    return results


def check_numbers(place: str, results: dict) -> None:
    """Raise ConfigError if a metric of a task in ``METRICS`` is neither a number nor None. ``place`` is the file."""
    from seesaw_d2.utils.messages import json_type, shown

    for task in METRICS.keys() & results.keys():
        if not isinstance(results[task], dict):
            fail(f"{place}: {task}: expected an object of metrics, found {json_type(results[task])}")
        for name, value in results[task].items():
            if value is not None and not (type(value) in (int, float) and -1e9 < value < 1e9):
                fail(f"{place}: {task} {name}: expected a number from -1e9 to 1e9, found {shown(value)}")


def claim(row: dict, seed: int, output: Path) -> None:
    """Create the folder for the run of a row with a seed, and write the row and its config to it.

    Raises:
        ConfigError: the folder belongs to another row, another program created the folder, or the config has changed.
    """
    from seesaw_d2.utils.atomic_files import write_text
    from seesaw_d2.utils.messages import shortened
    from seesaw_d2.utils.own_files import check_no_link, claim_folder, holds_other

    folder, config = folder_of(row["name"], seed, output), config_of(row)
    mark, text = folder / MARK, json.dumps(row, indent=1)
    check_no_link(folder.parent, "--output", "a folder")
    claim_folder(folder, MARK)
    check_no_link(folder / _LOG, "--output")
    if holds_other(mark, text) and mark.stat().st_size:
        found = shortened(mark.read_text(errors="replace"), 500)
        fail(f"{mark}: expected the row {text}, found the row {found}. To train again, remove {folder}.")
    if config is not None:
        check_no_link(folder / SAVED, "--output")
        check_unchanged(row, folder, config)
        write_text(folder / SAVED, config)
    write_text(mark, text)


def run_all(rows: list[dict], seeds: list[int], output: Path, num_jobs: int) -> dict[str, list[dict]]:
    """Run all rows with all seeds, ``num_jobs`` at a time. Return a dict from row name to the results of each seed.

    A row with "after" starts when the earlier row is finished.
    """
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
        except KeyboardInterrupt:  # the running trainings also receive the signal, and save checkpoints
            pool.shutdown(wait=False, cancel_futures=True)
            print("no further run will start. To continue, run the same command again.", file=sys.stderr, flush=True)
            raise
    return {row["name"]: [running[row["name"], seed].result() for seed in seeds] for row in rows}


def cell(values: list[float | None]) -> str:
    """Return the mean ± standard deviation of the values as text, or a dash if a value is None or without values."""
    if None in values or not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


def columns_of(results: list[dict]) -> list[tuple[str, str]]:
    """Return (task, metric) for each column of a table: all metrics of the tasks that occur in one of the results."""
    found = {task: metrics for task, (_, metrics) in METRICS.items() if any(task in result for result in results)}
    return [(task, metric) for task, metrics in found.items() for metric in metrics]


def table(results: dict[str, list[dict]]) -> str:
    """Return a Markdown table with a line per row: mean ± standard deviation of each metric over the seeds.

    ``results`` maps the name of a row to the results of each seed, which are dicts from task to metrics.
    """
    from seesaw_d2.utils.escaping import markdown

    columns = columns_of([run for runs in results.values() for run in runs])
    header = ["", *(f"{METRICS[task][0]} {metric}".strip() for task, metric in columns)]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, runs in results.items():
        cells = [cell([run.get(task, {}).get(metric) for run in runs]) for task, metric in columns]
        lines.append("| " + " | ".join([markdown(name), *cells]) + " |")
    return "\n".join(lines)


@command_line.command
def main(arguments=None) -> None:
    args, rows = parse_arguments(command_line.parser_of(__doc__), arguments)
    if args.commands:
        for seed in args.seeds:
            for row in rows:
                for words in commands_of(row, seed, args.output):
                    print(shlex.join(["python", *words]))
        return
    from seesaw_d2.utils.atomic_files import write_text
    from seesaw_d2.utils.own_files import check_replaceable
    from seesaw_d2.utils.untrusted_paths import below

    path = below(str(args.output), f"{args.comparison}.md", "name of a comparison")
    check_replaceable(path, _OWN_TABLE, "a table of this program")
    for row in rows:
        for seed in args.seeds:
            claim(row, seed, args.output)
    text = table(run_all(rows, args.seeds, args.output, args.jobs))
    write_text(path, f"{_TABLE}\n{text}\n")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
