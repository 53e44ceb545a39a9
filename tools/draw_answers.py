#!/usr/bin/env python
r"""Draw test images of classes with few training images, with the predictions of two image classifiers.

    python tools/draw_answers.py output/crops/CE_NLA/seed1 output/crops/Seesaw_q_0_NLA/seed1 --names CE Seesaw \
        --output output/answers.jpg

The figure has four groups of images, in which only the second run, only the first run, both runs or neither run
predicts the correct class. The number of drawn images of a group is proportional to the size of the group. The title of
a group contains its size.

A run is the OUTPUT_DIR of a training whose evaluation has written predictions.csv. The program draws images of the
first dataset in DATASETS.TEST of the first run's config.yaml.
"""

import argparse
import logging
import sys
from pathlib import Path

from command_line import command, parser_of

_TRAINED = "train_images"  # column of per_class.csv with the number of training images of a class


def read_table(folder: Path, dataset: str, name: str, texts: tuple[str, ...], numbers: tuple[str, ...] = ()):
    from seesaw_d2.errors import DataError
    from seesaw_d2.utils.text_tables import read_results_table
    from seesaw_d2.utils.untrusted_paths import below

    path = Path(below(str(folder / "inference"), dataset, "DATASETS.TEST"), name)
    if not path.exists():
        raise DataError(f"{path}: the file does not exist. Evaluate the run again, which writes this file.")
    return read_results_table(str(path), texts, numbers)


def read_answers(folders: list[Path], dataset: str) -> tuple[list[dict], list[dict[str, str]]]:
    """Read predictions.csv of the two runs.

    Args:
        folders: folders of the two runs.
        dataset: name of the dataset with the predicted images.

    Returns:
        the rows of the first file, dicts with the keys "image", "class" (the true class) and "called" (the predicted
        class), and for each run a dict from image id to predicted class.

    Raises:
        DataError: the runs have predictions for different images, or different true classes of an image.
    """
    from seesaw_d2.errors import DataError
    from seesaw_d2.evaluation.evaluation_settings import tell_replaced_results

    for folder in folders:
        tell_replaced_results(str(folder / "inference" / dataset))
    tables = [read_table(folder, dataset, "predictions.csv", ("image", "class", "called")) for folder in folders]
    answers = [{row["image"]: row["called"] for row in table} for table in tables]
    if differing := answers[0].keys() ^ answers[1].keys():
        raise DataError(
            f"{folders[0]} and {folders[1]}: expected predictions for the same images, found a prediction for image "
            f"{min(differing)!r} in only one of the runs. Evaluate both runs on the same data"
        )
    labels = {row["image"]: row["class"] for row in tables[0]}
    for row in tables[1]:
        if row["class"] != (expected := labels[row["image"]]):
            raise DataError(
                f"{folders[1]}: predictions.csv: image {row['image']!r}: expected the class {expected!r}, as in "
                f"{folders[0]}, found {row['class']!r}. Evaluate both runs on the same data"
            )
    return tables[0], answers


def read_classes(folders: list[Path], dataset: str) -> dict[str, dict]:
    """Read per_class.csv of the two runs. Log a warning if the runs have different numbers of training images.

    Args:
        folders: folders of the two runs.
        dataset: name of the dataset with the predicted images.

    Returns:
        the rows of the first file, a dict from class to a dict with the keys "class", "shots" and "train_images".
    """
    first, second = (
        {row["class"]: row for row in read_table(folder, dataset, "per_class.csv", ("class", "shots"), (_TRAINED,))}
        for folder in folders
    )
    differing = [name for name in first if second.get(name, {}).get(_TRAINED) != first[name][_TRAINED]]
    if differing:
        name = differing[0]
        logging.getLogger("seesaw_d2").warning(
            f"{folders[1]}: per_class.csv: class {name!r}: expected {first[name][_TRAINED]} training images, as in "
            f"{folders[0]}, found {second.get(name, {}).get(_TRAINED, 'no such class')} ({len(differing)} classes "
            f"differ). The figure shows the classes and numbers of {folders[0]}"
        )
    return first


def parse_arguments(arguments=None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("runs", nargs=2, type=Path, help="two run folders")
    parser.add_argument("--names", nargs=2, help="names of the runs (default: their folders)")
    parser.add_argument("--output", type=Path, required=True, help=".jpg or .png file to write")
    parser.add_argument(
        "--shots", choices=("few", "medium", "many"), default="few", help="group of classes to draw (default: few)"
    )
    parser.add_argument("--images", type=int, default=40, help="approximate number of images (default: 40)")
    return parser.parse_args(arguments)


def check_arguments(args: argparse.Namespace) -> None:
    """Raise ConfigError if a value is out of range, names or runs are equal, or another program wrote the output."""
    from seesaw_d2.drawing.plain_text import PICTURE_MARK
    from seesaw_d2.errors import ConfigError
    from seesaw_d2.utils.own_files import check_replaceable

    if args.images < 1:
        raise ConfigError(f"--images: expected an integer >= 1, found {args.images}")
    if args.names and args.names[0] == args.names[1]:
        raise ConfigError(f"--names: expected different names of two runs, found {args.names[0]!r} twice")
    if args.runs[0].resolve() == args.runs[1].resolve():
        raise ConfigError(f"runs: expected two different run folders, found {args.runs[0]} and {args.runs[1]}")
    if args.output.suffix not in (".jpg", ".png"):
        raise ConfigError(f"--output: expected a file name that ends in .jpg or .png, found {args.output}")
    check_replaceable(args.output, PICTURE_MARK, "a picture of this program")


def check_known(run: Path, expected: str, kind: str, unknown: set[str]) -> None:
    """Raise DataError if predictions.csv of a run contains unknown classes or image ids.

    Args:
        run: folder of the run.
        expected: description of the valid values, for the message.
        kind: kind of the values, "class" or "id", for the message.
        unknown: the unknown values. If empty, no error is raised.
    """
    from seesaw_d2.errors import DataError

    if unknown:
        raise DataError(f"{run}: predictions.csv: expected {expected}, found the {kind} {min(unknown)!r}")


@command
def main(arguments=None) -> None:
    args = parse_arguments(arguments)
    from seesaw_d2.config.loading import load_config
    from seesaw_d2.data import register_datasets
    from seesaw_d2.data.classification.mapper import record_pixels
    from seesaw_d2.data.records.catalog import load_dataset
    from seesaw_d2.drawing.classifier_comparison import AnsweredImage, by_outcome, draw_answers, proportional
    from seesaw_d2.errors import ConfigError, DataError
    from seesaw_d2.utils.atomic_files import make_folder

    check_arguments(args)
    names = args.names or [str(run) for run in args.runs]
    cfg = load_config(str(args.runs[0] / "config.yaml"))
    if not cfg.DATASETS.TEST:
        raise ConfigError(f"{args.runs[0] / 'config.yaml'}: DATASETS.TEST: expected a dataset, found no dataset")
    dataset = cfg.DATASETS.TEST[0]
    classes = read_classes(args.runs, dataset)
    rows, answers = read_answers(args.runs, dataset)
    check_known(args.runs[0], "classes of per_class.csv", "class", {row["class"] for row in rows} - classes.keys())
    rows = [row for row in rows if classes[row["class"]]["shots"] == args.shots]
    if not rows:
        raise DataError(f"{args.runs[0]}: predictions.csv: --shots {args.shots}: found no images of such classes")
    found = by_outcome([row["class"] for row in rows], *([called[row["image"]] for row in rows] for called in answers))
    register_datasets(cfg)
    records = {str(record["image_id"]): record for record in load_dataset(dataset)}
    unknown = {row["image"] for row in rows} - records.keys()
    check_known(args.runs[0], f"image ids of the dataset {dataset}", "id", unknown)
    titles = {"last": f"only {names[1]} is right", "first": f"only {names[0]} is right"}
    sections = {}
    for outcome, positions in proportional(found, args.images).items():
        title = f"{titles.get(outcome, f'{outcome} right')}: {len(found[outcome])} of {len(rows)} images"
        sections[title] = [
            AnsweredImage(
                record_pixels(records[row["image"]]),
                row["class"],
                classes[row["class"]][_TRAINED],
                [called[row["image"]] for called in answers],
            )
            for row in (rows[position] for position in positions)
        ]
    make_folder(args.output.parent)
    draw_answers(sections, names, args.output)
    for title in sections:
        print(title)
    print(f"figure     {args.output}")


if __name__ == "__main__":
    sys.exit(main())
