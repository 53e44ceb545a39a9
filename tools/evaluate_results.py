#!/usr/bin/env python
r"""Evaluate a results file without a model. The metrics are the same as in an evaluation after training.

    python tools/evaluate_results.py --dataset lvis_v1_val output/inference/lvis_v1_val/lvis_instances_results.json
    python tools/evaluate_results.py --annotations datasets/birds/val.json results.json --metrics fixed \
        --output output/tables

The ground truth is a registered dataset (of Detectron2, or in DATASETS.REGISTER of --config-file), or an annotation
file in LVIS or COCO format. The results file has the results format of LVIS or COCO, and may come from any program. The
annotation file or DATASETS.TRAIN of --config-file defines the rare, common and frequent categories. The program raises
an error if the order of the categories in DATASETS.TRAIN or --checkpoint differs from the order in the ground truth.
"""

import logging
import sys
from pathlib import Path

from command_line import command, parser_of


def parse(arguments):
    parser = parser_of(__doc__)
    parser.add_argument("results", type=Path, help="results file: a JSON list of detections")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="name of a registered dataset")
    source.add_argument("--annotations", help="annotation file in LVIS or COCO format")
    parser.add_argument(
        "--config-file", default="", help="config that names the datasets, in DATASETS.REGISTER and DATASETS.TRAIN"
    )
    parser.add_argument(
        "--engine", default="hotcoco", help="hotcoco (default), or official, which means lvis-api or pycocotools"
    )
    parser.add_argument(
        "--checkpoint", help="checkpoint of the model. Its categories are compared with those of the data"
    )
    parser.add_argument("--metrics", nargs="*", default=[], help="optional metrics: fixed, minival, coco, errors")
    parser.add_argument(
        "--max-dets", type=int, default=300, help="maximum number of detections per image (default: 300)"
    )
    parser.add_argument("--output", type=Path, help="folder for evaluation.json, categories.json and categories.csv")
    return parser.parse_args(arguments)


def read_ground_truth(args, cfg):
    """Return the annotation file and the frequency group of each category.

    Args:
        args: parsed arguments of the program.
        cfg: config of ``--config-file``, or the default config.

    Raises:
        SeesawError: the file has no annotations, or the order of the categories differs from the training set of the
            config or from the checkpoint.
    """
    from seesaw_d2.data.records.annotation_files import read_annotations
    from seesaw_d2.data.records.catalog import categories_of, check_registered, read_annotation_file
    from seesaw_d2.data.records.validation import check_training_order
    from seesaw_d2.errors import DataError
    from seesaw_d2.evaluation.category_frequency import frequency_letters
    from seesaw_d2.evaluation.ground_truth_rules import file_frequency
    from seesaw_d2.utils.category_names import Categories

    if args.dataset is not None:
        check_registered(args.dataset, "--dataset")
    file = read_annotations(args.annotations) if args.dataset is None else read_annotation_file(args.dataset)
    if not file.ground_truth:
        raise DataError(f"{file.path}: expected annotations, found none. Choose a dataset with annotations.")
    registered = categories_of(args.dataset, "--dataset") if args.dataset is not None else None
    categories = registered or Categories(tuple(file.category_names), file.path)
    if args.config_file:
        check_training_order(cfg, categories, file.category_ids)
    if args.checkpoint is not None:
        compare_with_checkpoint(categories, args.checkpoint)
    if args.config_file:
        return file, frequency_letters(cfg, args.dataset, file)
    frequency = file_frequency(file)
    if frequency is None:
        logging.getLogger("seesaw_d2").warning(
            '%s: APr, APc and APf are NaN, because not every category has a "frequency" of "r", "c" or "f". '
            "Name the training set in DATASETS.TRAIN of --config-file.",
            file.path,
        )
    return file, frequency


def compare_with_checkpoint(categories, checkpoint: str) -> None:
    from seesaw_d2.errors import WeightsError
    from seesaw_d2.utils.category_names import check_checkpoint, entry_of
    from seesaw_d2.weights.checkpoint_io import read_checkpoint

    found = entry_of(read_checkpoint(checkpoint), checkpoint)
    if found is None:
        raise WeightsError(
            f"{checkpoint}: the checkpoint does not contain the names of its categories. Omit --checkpoint."
        )
    if warning := check_checkpoint(found, categories):
        logging.getLogger("seesaw_d2").warning(warning)


@command
def main(arguments=None) -> None:
    args = parse(arguments)
    from seesaw_d2.config.loading import load_config
    from seesaw_d2.data import register_datasets
    from seesaw_d2.evaluation.evaluate import EVALUATION_FILES, check_options, evaluate_file
    from seesaw_d2.evaluation.evaluation_settings import tell_replaced_results
    from seesaw_d2.utils.own_files import check_replaceable

    check_options(args.engine, args.metrics)
    if args.output:
        for name, mark in EVALUATION_FILES.items():
            check_replaceable(args.output / name, mark, "a result of this program")
    cfg = load_config(args.config_file)
    register_datasets(cfg)
    tell_replaced_results(str(args.results.parent))
    evaluation = evaluate_file(
        str(args.results),
        *read_ground_truth(args, cfg),
        name=args.dataset,
        engine=args.engine,
        extra=args.metrics,
        max_dets_per_image=args.max_dets,
    )
    if args.output:
        evaluation.write(str(args.output))
    for key, value in evaluation.description.items():
        print(f"{key:<34}{value}")
    for task, values in evaluation.metrics.items():
        print("\n" + {"bbox": "boxes (AP^b)", "segm": "masks"}[task])
        for name, value in values.items():
            print(f"  {name:<18}{value:7.2f}")


if __name__ == "__main__":
    sys.exit(main())
