#!/usr/bin/env python
"""Analyze a dataset: frequency of the categories, repeat factors, and shares of the frequency groups in training.

    python tools/analyze_dataset.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml
    python tools/analyze_dataset.py --dataset lvis_v1_train
    python tools/analyze_dataset.py --config-file ... DATASETS.TRAIN "('mine',)"
    python tools/analyze_dataset.py --counts lvis_v1_train.json --num-images 99388
    python tools/analyze_dataset.py --dataset lvis_v1_train --statistics lvis_v1_train.csv

The program prints tables, and writes a table of all categories (categories.csv) and charts (sampling.png) to the output
folder. --counts analyzes simulated images instead of a dataset. The numbers of images and objects per category come
from an annotation file or from a JSON list of {"name", "image_count", "instance_count"}. --statistics also writes a
file for the config key MODEL.ROI_HEADS.CALIBRATION.COUNTS.
"""

import argparse
import os
import sys

from command_line import command, parser_of, refuse_options

LVIS_THRESHOLD = 1e-3


def parse(arguments) -> argparse.Namespace:
    parser = parser_of(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config-file", help="config whose DATASETS.TRAIN is analyzed")
    source.add_argument("--dataset", help="name of a registered dataset")
    source.add_argument("--counts", help="JSON file with category counts")
    parser.add_argument("--num-images", type=int, help="number of annotated images, required with --counts")
    parser.add_argument("--seed", type=int, help="with --counts: seed of the simulated images (default: 0)")
    parser.add_argument(
        "--repeat-threshold",
        type=float,
        help=f"repeat threshold t (default: DATALOADER.REPEAT_THRESHOLD if it is set, or {LVIS_THRESHOLD})",
    )
    parser.add_argument(
        "--list", type=int, default=10, metavar="N", help="print the N most and least frequent categories (default: 10)"
    )
    parser.add_argument("--statistics", metavar="FILE", help="CSV file to write for MODEL.ROI_HEADS.CALIBRATION.COUNTS")
    parser.add_argument("--output", help="output folder (default: output/analysis/<name>)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides KEY VALUE ...")
    args = parser.parse_args(arguments)
    if (args.counts is None) != (args.num_images is None):
        found = "--counts" if args.num_images is None else "--num-images"
        parser.error(f"--counts, --num-images: expected both options or neither option, found only {found}")
    if args.counts and args.statistics:
        parser.error(
            "--statistics: expected --config-file or --dataset, found --counts. Only datasets have box positions."
        )
    return args


def analyze(args):
    """Analyze the dataset, or the simulated images of --counts, that the command line selects.

    Returns:
        the name of the data, the result of the analysis, and the config, which is None with --counts.
    """
    from seesaw_d2.data import register_datasets
    from seesaw_d2.data.records.catalog import check_registered
    from seesaw_d2.data.sampling.analysis import analyze_sampling
    from seesaw_d2.data.sampling.config_analysis import analyze_config
    from seesaw_d2.data.sampling.simulated_counts import deal_images, read_category_counts
    from seesaw_d2.errors import ConfigError
    from seesaw_d2.train import load_config

    if args.repeat_threshold is not None and not 0 <= args.repeat_threshold < float("inf"):
        raise ConfigError(f"--repeat-threshold: expected a finite number >= 0, found {args.repeat_threshold}")
    for name in ("seed", "list"):
        if (getattr(args, name) or 0) < 0:
            raise ConfigError(f"--{name}: expected an integer >= 0, found {getattr(args, name)}")
    if args.counts:
        if args.opts:
            raise ConfigError(f"--counts: expected no config overrides, because no config is read, found {args.opts}")
        names, images, instances = read_category_counts(args.counts)
        records = deal_images(images, instances, args.num_images, args.num_images, args.seed or 0)
        threshold = LVIS_THRESHOLD if args.repeat_threshold is None else args.repeat_threshold
        name = os.path.splitext(os.path.basename(args.counts))[0]
        return name, analyze_sampling(records, len(names), repeat_threshold=threshold, names=names), None
    refuse_options(args, ("seed",), "with --counts")
    cfg = load_config(args.config_file or "", args.opts)
    if args.dataset:
        if "DATASETS.TRAIN" in args.opts[::2]:
            raise ConfigError(f"DATASETS.TRAIN: expected no override with --dataset {args.dataset}, found an override")
        cfg.DATASETS.TRAIN = (args.dataset,)
    register_datasets(cfg)
    if args.dataset:
        check_registered(args.dataset, "--dataset")
    threshold = args.repeat_threshold
    if threshold is None:
        threshold = cfg.DATALOADER.REPEAT_THRESHOLD or LVIS_THRESHOLD
    return "+".join(cfg.DATASETS.TRAIN), analyze_config(cfg, threshold), cfg


@command
def main(arguments=None) -> None:
    args = parse(arguments)
    from seesaw_d2.drawing.plain_text import PICTURE_MARK
    from seesaw_d2.report import draw_sampling, sampling_report, write_categories
    from seesaw_d2.report.dataset_report import HEADER, STATISTICS, write_statistics
    from seesaw_d2.utils.atomic_files import make_folder
    from seesaw_d2.utils.own_files import check_replaceable
    from seesaw_d2.utils.untrusted_paths import below

    name, analysis, cfg = analyze(args)
    folder = args.output or below(os.path.join("output", "analysis"), name, "DATASETS.TRAIN")
    table, picture = os.path.join(folder, "categories.csv"), os.path.join(folder, "sampling.png")
    check_replaceable(table, ",".join(HEADER), "a table of this program")
    check_replaceable(picture, PICTURE_MARK, "a picture of this program")
    if args.statistics:
        check_replaceable(args.statistics, ",".join(STATISTICS), "a table of this program")
        write_statistics(cfg, args.statistics)
    make_folder(folder)
    print(sampling_report(analysis, args.list))
    write_categories(analysis, table)
    draw_sampling(analysis, picture, name)
    print(f"\ntable    {table}\npicture  {picture}")
    if args.statistics:
        print(f"statistics of {analysis.statistics.num_images} images    {args.statistics}")


if __name__ == "__main__":
    sys.exit(main())
