#!/usr/bin/env python
"""Write an HTML report that compares runs: results, confusions, categories, images, training curves and configs.

    python tools/report.py output/quickstart
    python tools/report.py output/quickstart_ce output/quickstart --output output/compare.html --images 60

A run is the OUTPUT_DIR of a training and evaluation of a detector, with this project or with Detectron2's own programs.
The report is a single file that needs no network. If a run does not have the data of a section, the report omits the
run in this section, and the program prints the reason.
"""

import sys

from command_line import command, parser_of


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("runs", nargs="+", help="run folders, first the baseline")
    parser.add_argument("--output", help="HTML file to write (default: report.html in the folder of the last run)")
    parser.add_argument(
        "--dataset", help="dataset of the results (default: the first in DATASETS.TEST of the first run)"
    )
    parser.add_argument(
        "--config-file", default="", help="config with DATASETS.REGISTER, for runs of Detectron2 on your own data"
    )
    parser.add_argument("--names", nargs="+", help="names of the runs (default: names of their folders)")
    parser.add_argument(
        "--images", type=int, default=24, help="number of images in the report, about 12 kB each (default: 24)"
    )
    parser.add_argument(
        "--title",
        default="Long-tailed instance segmentation",
        help="title of the report (default: Long-tailed instance segmentation)",
    )
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
