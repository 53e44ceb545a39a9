#!/usr/bin/env python
r"""Pool the detections of several cross-validation folds, so that rare categories have enough objects to compute AP.

    python tools/pool_folds.py output/pooled \
        --fold datasets/folds/test0.json output/fold0/inference/fold0_test/lvis_instances_results.json \
        --fold datasets/folds/test1.json output/fold1/inference/fold1_test/lvis_instances_results.json
    python tools/evaluate_results.py --annotations output/pooled/annotations.json output/pooled/results.json

The first command writes annotations.json and results.json. Images and objects get new ids. The folds must have the same
format (LVIS or COCO), the same categories and different images. Either all results or no results must have masks. If
the frequency group of a category differs between the folds, the mean number of training images defines the group: rare
up to 10, common up to 100, as in LVIS.
"""

import dataclasses
import json
import os
import posixpath
import sys
from pathlib import Path

from command_line import command, parser_of
from pooled_categories import pooled_categories

ANNOTATIONS, RESULTS = "annotations.json", "results.json"
_MARK = "pooled_folds.txt"  # file that identifies an output folder of this program


def renumbered(file, start: int, first_object: int) -> tuple[dict[int, int], list[dict], list[dict]]:
    """Give new consecutive ids to the images and objects of an annotation file, so that no two folds share an id.

    Args:
        file: the annotation file.
        start: new id of the first image.
        first_object: new id of the first object.

    Returns:
        a dict from the old to the new image ids, the images with new ids, and the objects with new ids.
    """
    ids = {image["id"]: start + index for index, image in enumerate(file.images)}
    images = [{**image, "id": ids[image["id"]]} for image in file.images]
    objects = [
        {**item, "id": first_object + index, "image_id": ids[item["image_id"]]}
        for index, item in enumerate(file.ground_truth)
    ]
    return ids, images, objects


def pool(folds: list[tuple[str, str]]):
    """Merge the annotations and the detections of several folds.

    Args:
        folds: pairs (annotation file, results file).

    Returns:
        content of the merged annotation file, and the merged detections.

    Raises:
        DataError: two folds share a file or an image, the formats or categories differ, or only some results have
            masks.
    """
    import numpy as np

    from seesaw_d2.data.records.annotation_files import read_annotations
    from seesaw_d2.data.records.formats import FORMATS
    from seesaw_d2.errors import DataError
    from seesaw_d2.evaluation import Detections, read_results
    from seesaw_d2.evaluation.evaluation_settings import tell_replaced_results
    from seesaw_d2.evaluation.ground_truth_rules import file_frequency, ground_truth_with_groups

    check_different_files(folds)
    files = [read_annotations(annotations) for annotations, _ in folds]
    check_same_format(files)
    content = {"info": {"pooled from": [file.path for file in files]}, "categories": pooled_categories(files)}
    content |= {"images": [], "annotations": []}
    parts, owner = [], {}
    for file, (_, results) in zip(files, folds, strict=True):
        if not file.ground_truth:
            raise DataError(f"{file.path}: expected annotated objects, found no objects")
        for name in map(posixpath.normpath, file.image_files):
            if owner.setdefault(name, file.path) != file.path:
                raise DataError(
                    f"{file.path}: image {name} is also in the fold {owner[name]}. Folds must not share images. If "
                    f"different images have this name, put different folders before the names in the field "
                    f"{FORMATS[file.format].file_fields} of copies of the annotation files."
                )
        tell_replaced_results(os.path.dirname(results))
        detections = read_results(results, ground_truth_with_groups(file, file_frequency(file)))
        ids, images, objects = renumbered(file, len(content["images"]) + 1, len(content["annotations"]) + 1)
        content["images"] += images
        content["annotations"] += objects
        new = np.array([ids[key] for key in detections.image_ids.tolist()], dtype=np.int64)
        parts.append(dataclasses.replace(detections, image_ids=new))
    check_same_fields(parts, [results for _, results in folds])
    return content, Detections.concatenate(parts)


def check_different_files(folds: list[tuple[str, str]]) -> None:
    """Raise DataError if a file belongs to two folds, even if the paths of the file differ."""
    from seesaw_d2.errors import DataError

    seen: dict[str, str] = {}
    for path in (path for fold in folds for path in fold):
        real = os.path.realpath(path)
        if real in seen:
            raise DataError(
                f"--fold: expected different files in all folds, found the same file twice: {seen[real]} and {path}"
            )
        seen[real] = path


def check_same_format(files) -> None:
    """Raise DataError if some of the annotation files have the LVIS format, and others the COCO format.

    AP of a file with images of both formats would be wrong, because COCO images lack the lists of LVIS images.
    """
    from seesaw_d2.errors import DataError

    for file in files:
        if file.format != files[0].format:
            raise DataError(
                f"{file.path}: expected the format {files[0].format!r}, as in {files[0].path}, found {file.format!r}. "
                'Images in LVIS format have "neg_category_ids", images in COCO format do not.'
            )


def check_same_fields(parts, paths: list[str]) -> None:
    """Raise DataError if the results of the folds have different fields (boxes, masks or both).

    Folds without detections are ignored.

    Args:
        parts: detections of each fold.
        paths: path of each results file.
    """
    from seesaw_d2.errors import DataError

    filled = [(path, part) for path, part in zip(paths, parts, strict=True) if len(part)]
    for path, part in filled:
        first, expected = filled[0]
        if part.kind != expected.kind:
            raise DataError(f"{path}: expected {expected.kind}, as in {first}, found {part.kind}")


@command
def main(arguments=None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("output", type=Path, help=f"folder for {ANNOTATIONS} and {RESULTS}")
    parser.add_argument(
        "--fold",
        nargs=2,
        action="append",
        required=True,
        metavar=("ANNOTATIONS", "RESULTS"),
        help="annotation file and results file of a fold. Repeat the option for each fold",
    )
    args = parser.parse_args(arguments)
    from seesaw_d2.evaluation.results_files import write_results
    from seesaw_d2.utils.atomic_files import write_text
    from seesaw_d2.utils.own_files import check_claimable, claim_folder

    check_claimable(args.output, _MARK, "output")
    content, detections = pool(args.fold)
    claim_folder(args.output, _MARK, "output")
    # If the program is interrupted between the two files, the results of an earlier call must not remain. Their image
    # ids also occur in the new annotations, so that an evaluation of both files would give wrong AP without an error.
    (args.output / RESULTS).unlink(missing_ok=True)
    # The json module writes every value that an annotation file may contain. orjson writes NaN areas as null, and fails
    # for unpaired surrogates and for integers of more than 64 bits.
    write_text(args.output / ANNOTATIONS, json.dumps(content))
    write_results(str(args.output / RESULTS), detections)
    counts = f"{len(content['images'])} images, {len(content['annotations'])} objects, {len(detections)} detections"
    print(f"{args.output}: {counts}")


if __name__ == "__main__":
    sys.exit(main())
