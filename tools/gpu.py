#!/usr/bin/env python
"""Test and measure this project on an NVIDIA GPU. ``make gpu`` runs this program.

    python tools/gpu.py
    python tools/gpu.py --parts training "training, compiled" --again

The program runs the tests with the marker ``cuda``, compares losses, mask heads, training and inference with
Detectron2, and trains the quickstart model. It writes the results to OUTPUT/table.md, with the names of the GPU, the
versions and the commit, and a log of each part to OUTPUT. If the program reaches the time limit, run the same command
again to continue with the missing parts. The program repeats finished parts only with --again, or if the commit, the
GPU or a version has changed.

The program needs a CUDA device, PyTorch 2.6 or newer, torchvision, Detectron2, pytest and this package's requirements.
It downloads nothing. If the project has a folder ``carried``, the program also imports packages from this folder.

Exit status:
    0: all parts passed
    1: a part failed
    2: a requirement is missing
    3: the time limit was reached before all parts finished
"""

import os
import sys
import time
from pathlib import Path

from command_line import command, parser_of
from gpu_parts import machine, running, table
from gpu_parts.parts import PARTS

ROOT = Path(__file__).resolve().parent.parent


@command
def main(arguments=None) -> int:
    parser = parser_of(__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument("--output", default="output/gpu", help="folder of logs and results (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=9, help="time limit in minutes (default: %(default)s)")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=names,
        default=names,
        metavar="PART",
        help=f"parts to run (default: all): {', '.join(names)}",
    )
    parser.add_argument("--again", action="store_true", help="repeat finished parts")
    args = parser.parse_args(arguments)
    os.chdir(ROOT)  # paths of configs are relative to the project
    sys.path[:0] = [path for path in machine.paths(ROOT) if path not in sys.path]
    missing = machine.missing()
    if missing:
        print(f"error: make gpu needs {missing}", file=sys.stderr)
        return 2
    from seesaw_d2.utils.own_files import claim_folder  # needs sys.path as set above

    folder = Path(args.output)
    claim_folder(folder, "gpu.txt")
    key = machine.key(ROOT)
    end = time.monotonic() + 60 * args.minutes
    for part in (part for part in PARTS if part.name in args.parts):
        done = None if args.again else running.finished(folder, part, key)
        if done is None:
            done = running.run(folder, part, key, end - time.monotonic(), ROOT)
        print(f"{part.name}: {done['status']} ({done['seconds']:.0f} s)", flush=True)
    results = {part.name: running.known(folder, part, key) for part in PARTS}
    text = table.markdown(PARTS, list(results.values()), machine.description(ROOT))
    (folder / "table.md").write_text(text)
    print(f"\n{text}\nin {folder / 'table.md'}")
    return running.exit_status([results[name] for name in args.parts])


if __name__ == "__main__":
    sys.exit(main())
