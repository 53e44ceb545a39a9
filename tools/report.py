#!/usr/bin/env python
"""Look at runs: one HTML page with results, what objects were taken for, categories, images, curves and configs.

    python tools/report.py output/quickstart
    python tools/report.py output/quickstart_ce output/quickstart --output output/compare.html --images 60

A run is the OUTPUT_DIR of a training and evaluation with this project or with plain Detectron2. The page is one file
that needs no network. What a run does not have is left out, and the page says so.
"""

import sys

from command_line import command, parser_of


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("runs", nargs="+", help="run folders; the others are compared to the first")
    parser.add_argument("--output", help="the HTML file; by default report.html in the last run's folder")
    parser.add_argument("--dataset", help="of the results; by default the first of the first run's DATASETS.TEST")
    parser.add_argument(
        "--config-file", default="", help="for DATASETS.REGISTER, where the runs are plain Detectron2's on own data"
    )
    parser.add_argument("--names", nargs="+", help="of the runs; by default their folders'")
    parser.add_argument("--images", type=int, default=24, help="in the gallery (some 12 kB each)")
    parser.add_argument("--title", default="Long-tailed instance segmentation")
    args = parser.parse_args(arguments)
    from seesaw_d2.report.page import write_report

    output = args.output or f"{args.runs[-1].rstrip('/')}/report.html"
    missing = write_report(
        args.runs,
        output,
        dataset=args.dataset,
        config_file=args.config_file,
        names=args.names,
        num_images=args.images,
        title=args.title,
    )
    for section, why in missing.items():
        print(f"left out   {section}: {why}")
    print(f"report     {output}")


if __name__ == "__main__":
    sys.exit(main())
