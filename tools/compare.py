#!/usr/bin/env python
"""Train several configs with several seeds and tabulate mean ± standard deviation.

    python tools/compare.py --seeds 1 2 3 --jobs 2 CONFIG.yaml CONFIG.yaml ... [-- KEY VALUE ...]

Each run goes to OUTPUT/<config>/seed<seed> with one thread per job; finished runs are not repeated, interrupted ones
go on. The table goes to OUTPUT/table.md and to the terminal.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = [(task, metric) for task in ("bbox", "segm") for metric in ("AP", "APr", "APc", "APf")]


def train(config: Path, seed: int, folder: Path, overrides) -> dict:
    """Run one training unless its results are there; return them."""
    if not (folder / "model_final.pth").exists() or not list(folder.glob("inference/*/results.json")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "train_net.py", "--config-file", str(config), "--resume"]
        command += ["SEED", str(seed), "OUTPUT_DIR", str(folder), *overrides]
        print(f"start   {config.stem} seed {seed}", flush=True)
        with open(folder / "stdout.txt", "a") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            status = subprocess.call(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
        if status:
            raise RuntimeError(f"{config.stem} seed {seed}: exit status {status}, see {folder / 'stdout.txt'}")
        print(f"finish  {config.stem} seed {seed}", flush=True)
    (results,) = folder.glob("inference/*/results.json")
    return json.loads(results.read_text())


def cell(values) -> str:
    """mean ± standard deviation, in percent."""
    if len(values) < 2:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def table(results: dict) -> str:
    """Config name -> list of results, as a Markdown table."""
    header = ["config", *(f"{'box' if task == 'bbox' else 'mask'} {metric}" for task, metric in COLUMNS)]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, runs in results.items():
        cells = [cell([run[task][metric] for run in runs]) for task, metric in COLUMNS]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path, help="YAML files")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--output", type=Path, default=Path("output/compare"))
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(sys.argv[1:split])
    overrides = sys.argv[split + 1 :]
    jobs = [(config, seed) for seed in args.seeds for config in args.configs]
    with ThreadPoolExecutor(args.jobs) as pool:
        done = list(pool.map(lambda job: train(*job, args.output / job[0].stem / f"seed{job[1]}", overrides), jobs))
    results = {
        config.stem: [run for job, run in zip(jobs, done, strict=True) if job[0] == config] for config in args.configs
    }
    text = table(results)
    (args.output / "table.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
