#!/usr/bin/env python
r"""Evaluate a results file without a model, as the evaluation after a training does.

    python tools/evaluate_results.py --dataset lvis_v1_val output/inference/lvis_v1_val/lvis_instances_results.json
    python tools/evaluate_results.py --annotations datasets/birds/val.json results.json --metrics fixed \
        --output output/tables

The data set is a registered one (Detectron2's own, or one in DATASETS.REGISTER of --config-file) or any annotation file
in LVIS or COCO format. Groups (rare, common, frequent) are the file's own, or follow from DATASETS.TRAIN of
--config-file. Where DATASETS.TRAIN or --checkpoint has the categories in another order, that is an error. The results
may be those of any program that writes LVIS's or COCO's results format.
"""

import sys
from pathlib import Path

from command_line import command, parser_of


def parse(arguments):
    parser = parser_of(__doc__)
    parser.add_argument("results", type=Path, help="JSON file of detections")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="name of a registered data set")
    source.add_argument("--annotations", help="annotation file in LVIS or COCO format")
    parser.add_argument("--config-file", default="", help="for DATASETS.REGISTER, DATASETS.TRAIN and thresholds")
    parser.add_argument("--engine", default="hotcoco", help="hotcoco, or official: lvis-api or pycocotools")
    parser.add_argument("--checkpoint", help="of the model that made the results: its categories are compared")
    parser.add_argument("--metrics", nargs="*", default=[], help="more of them: fixed, minival, coco")
    parser.add_argument("--max-dets", type=int, default=300, help="detections counted in an image")
    parser.add_argument("--output", type=Path, help="folder for evaluation.json, categories.json and categories.csv")
    return parser.parse_args(arguments)


@command
def main(arguments=None) -> None:
    args = parse(arguments)
    from seesaw_d2.data import register_datasets
    from seesaw_d2.evaluation.results_file_evaluation import evaluate_file
    from seesaw_d2.train import load_config

    cfg = load_config(args.config_file)
    register_datasets(cfg)
    description, metrics = evaluate_file(
        str(args.results),
        dataset=args.dataset,
        annotations=args.annotations,
        cfg=cfg if args.config_file else None,
        checkpoint=args.checkpoint,
        engine=args.engine,
        extra=args.metrics,
        max_dets_per_image=args.max_dets,
        output=str(args.output) if args.output else None,
    )
    for key, value in description.items():
        print(f"{key:<34}{value}")
    for task, values in metrics.items():
        print("\n" + {"bbox": "boxes (AP^b)", "segm": "masks"}[task])
        for name, value in values.items():
            print(f"  {name:<14}{value:7.2f}")


if __name__ == "__main__":
    sys.exit(main())
