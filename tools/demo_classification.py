#!/usr/bin/env python
"""Compare cross-entropy and Seesaw Loss on long-tailed digits. ``make demo-classification`` runs this program.

The program trains the models of configs/digits/ce.yaml and configs/digits/seesaw.yaml, prints the accuracy on many-,
medium- and few-shot classes, and writes a report. An interrupted training continues from its last checkpoint. A
finished training is only evaluated again.

    python tools/demo_classification.py --imbalance 50
"""

import json
import math
import os
import sys
import time
from pathlib import Path

from command_line import command, parser_of

ROOT = Path(__file__).resolve().parent.parent
RUNS = {"cross-entropy": "configs/digits/ce.yaml", "Seesaw Loss": "configs/digits/seesaw.yaml"}


@command
def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--imbalance", type=float, default=50, help="size of the largest class / size of the smallest (default: 50)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("output/digits"), help="folder for runs and report (default: output/digits)"
    )
    args = parser.parse_args(arguments)
    if not 1 <= args.imbalance < math.inf:
        parser.error(f"--imbalance: expected a number >= 1, found {args.imbalance}")
    output = args.output.absolute()
    os.chdir(ROOT)
    from seesaw_d2.report import shots_table, write_classification_report
    from seesaw_d2.report.rendering import check_page
    from seesaw_d2.train import main as train

    start, folders = time.perf_counter(), {}
    if args.imbalance != 50:
        output = output / f"imbalance{_short(args.imbalance)}"
    report = output / "report.html"
    check_page(str(report))
    for title, config in RUNS.items():
        folder = output / Path(config).stem
        status = train(["--config-file", config, "--resume", "OUTPUT_DIR", str(folder), *_data(args.imbalance)])
        if status:
            return status
        folders[title] = str(folder / "inference" / "digits_test")
    results = {title: json.loads(Path(folder, "results.json").read_text()) for title, folder in folders.items()}
    write_classification_report(folders, str(report))
    print(f"\nTop-1 accuracy on long-tailed digits, % (seed 1, {time.perf_counter() - start:.0f} s):\n")
    print(shots_table(results))
    print(f"\nreport    {report}\nruns      {output}")
    return 0


def _short(imbalance: float) -> str:
    """Return a number as text with all digits, so that two numbers never have the same run folder."""
    return str(imbalance).removesuffix(".0")


def _data(imbalance: float) -> list[str]:
    name = f"digits_lt{_short(imbalance)}_train"
    register = [
        {"NAME": name, "DIGITS": "train", "IMBALANCE": imbalance},
        {"NAME": "digits_test", "DIGITS": "test"},
    ]
    return ["DATASETS.REGISTER", str(register), "DATASETS.TRAIN", str((name,))]


if __name__ == "__main__":
    sys.exit(main())
