"""Read and check files of detections, and write detections, JSON files and CSV files atomically."""

import csv
import dataclasses
import io
import itertools
import logging
import os
import reprlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from lvis import LVIS

from seesaw_d2.data.boxes_and_masks.run_lengths import count_pixels
from seesaw_d2.data.records.annotation_checks import float_array
from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.detections import Detections, mask_areas
from seesaw_d2.evaluation.results_warnings import warn_of_results
from seesaw_d2.utils.atomic_files import atomic_file, write_text
from seesaw_d2.utils.escaping import cell
from seesaw_d2.utils.json_reading import load_json
from seesaw_d2.utils.messages import first_few, json_type, one_line

logger = logging.getLogger(__name__)

SUBMISSION_FILE = "lvis_submission.json"
# ``write_results`` converts this number of detections to JSON at a time. A larger number needs more memory.
CHUNK = 100_000


def write_json(path: str, value: Any) -> None:
    """Write a JSON file atomically. NaN becomes null."""
    with atomic_file(path) as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))


def write_csv(path: str, rows: list[dict[str, Any]], header: Sequence[str] | None = None) -> None:
    """Write a CSV file atomically. NaN becomes an empty cell.

    Args:
        path: path of the file.
        rows: one dict per row, from column name to value.
        header: names of the columns. Default: the keys of the first row. Required if there are no rows.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: "" if value != value else cell(value) for key, value in row.items()} for row in rows])
    write_text(path, text.getvalue())


def write_results(path: str, detections: Detections) -> None:
    """Write detections as a JSON file in LVIS's results format. The file is written atomically.

    The detections are converted to JSON in chunks, which needs less memory.
    """
    with atomic_file(path) as file:
        for start in range(0, len(detections), CHUNK):
            part = detections[np.arange(start, min(start + CHUNK, len(detections)))]
            file.write(b"," if start else b"[")
            file.write(part.to_json()[1:-1])
        file.write(b"]" if len(detections) else b"[]")


def write_submission(folder: str | None, name: str, detections: Detections) -> None:
    """Write lvis_submission.json, the input of LVIS's evaluation server, for a dataset without annotations.

    If the detections have masks, the file contains no boxes. With both, lvis-api would compute the size of a detection
    (for APs, APm and APl) from the box instead of the mask.

    Args:
        folder: output folder. If None, write no file.
        name: name of the dataset, for the log.
        detections: detections with the ids of the annotation file.
    """
    if not folder:
        logger.info(
            "%s: the detections are not evaluated, because the dataset has no annotations. They are not written, "
            "because the evaluator has no output folder",
            name,
        )
        return
    path = os.path.join(folder, SUBMISSION_FILE)
    masks = detections.has_masks
    write_results(path, dataclasses.replace(detections, boxes=None) if masks else detections)
    logger.info(
        "%s has no annotations, so it cannot be evaluated here. Submit %s (%d detections, %s) to LVIS's evaluation "
        "server",
        *(name, path, len(detections), "masks" if masks else "boxes"),
    )


def read_results(path: str, ground_truth: LVIS) -> Detections:
    """Read and check a results file in LVIS's or COCO's format.

    Log a warning about repeated detections, scores outside [0, 1] and boxes that are not x, y, width, height.

    Args:
        path: path of a JSON file with a list of detections. A detection is a dict with the keys image_id, category_id,
            score, and at least one of bbox (x, y, width, height in pixels) and segmentation (run lengths). All
            detections must have the same keys.
        ground_truth: ground truth with the images and categories of the detections.

    Raises:
        DataError: the file cannot be read or contains no list, or a detection is invalid: a field is missing, the score
            or the box is not finite, the mask is malformed, or the image or the category is unknown.
    """
    results = load_json(path, "expected a results file in LVIS's or COCO's format")
    if not isinstance(results, list):
        raise DataError(f"{path}: expected a list of detections, found {json_type(results)}")
    detections = detections_from_results(results, ground_truth, path)
    warn_of_results(detections, ground_truth, path)
    return detections


def detections_from_results(results: list[dict[str, Any]], ground_truth: LVIS, source: str) -> Detections:
    """Check detections in LVIS's results format and convert them to arrays.

    Args:
        results: list of dicts with image_id, category_id, score, and at least one of bbox and segmentation.
        ground_truth: ground truth with the images and categories of the detections.
        source: path of the file, for messages.

    Raises:
        DataError: a field of a detection is missing or invalid, or its image or category is unknown.
    """
    if not results:
        return Detections.empty(masks=True)
    if any(type(item) is not dict for item in results):
        bad = [index for index, item in enumerate(results) if type(item) is not dict]
        raise DataError(f"{source}: expected a JSON object for each detection, found {_first_of(results, bad)}")
    fields = [field for field in ("bbox", "segmentation") if any(field in item for item in results)]
    if not fields:
        raise DataError(
            f'{source}: expected "bbox" or "segmentation" in each of the {len(results)} detections, found neither '
            "field in detection 0 or any other detection"
        )
    columns = {field: _column(results, field, source) for field in ("image_id", "category_id", "score", *fields)}
    image_ids = _ids(columns["image_id"], "image_id", ground_truth.imgs, source)
    category_ids = _ids(columns["category_id"], "category_id", ground_truth.cats, source)
    scores = _numbers(columns["score"], "score", source)
    boxes = _numbers(columns["bbox"], "bbox", source, width=4) if "bbox" in fields else None
    sizes, counts = (None, None)
    if "segmentation" in fields:
        sizes, counts = _masks(columns["segmentation"], image_ids, ground_truth, source)
    return Detections(image_ids, category_ids, scores, boxes, sizes, counts)


def _first_of(values: list[Any], bad: list[int]) -> str:
    """Return text for a message, such as "'x' in detection 3 (also wrong: detections 5, 8)".

    Args:
        values: a value for each detection.
        bad: indices of the detections whose values are invalid.
    """
    others = f" (also wrong: detections {first_few(bad[1:])})" if bad[1:] else ""
    return f"{reprlib.repr(values[bad[0]])} in detection {bad[0]}{others}"


def _column(results: list[dict[str, Any]], field: str, source: str) -> list[Any]:
    try:
        return [item[field] for item in results]
    except KeyError:
        bad = [index for index, item in enumerate(results) if field not in item]
        raise DataError(
            f'{source}: expected "{field}" in each of the {len(results)} detections, found {len(bad)} detections '
            f"without this field (detections {first_few(bad)})"
        ) from None


def _ids(values: list[Any], field: str, known: dict[int, Any], source: str) -> np.ndarray:
    if not set(map(type, values)) <= {int}:
        bad = [index for index, value in enumerate(values) if type(value) is not int]
        raise DataError(f'{source}: "{field}": expected an integer, found {_first_of(values, bad)}')
    unknown = sorted(set(values) - known.keys())
    if unknown:
        raise DataError(
            f'{source}: "{field}": expected one of the {len(known)} ids of the dataset ({min(known)} to '
            f"{max(known)}), found unknown ids: {first_few(unknown)}. Check that the results belong to this version of "
            "the dataset"
        )
    return np.array(values, dtype=np.int64)


def _numbers(values: list[Any], field: str, source: str, width: int | None = None) -> np.ndarray:
    expected = "a finite number" if width is None else f"{width} finite numbers"
    try:
        array = float_array(values)  # also converts strings such as "1.5". Therefore, the next lines check the types
        types = set(map(type, values if width is None else itertools.chain.from_iterable(values)))
        wrong = not types <= {int, float}
        wrong |= array.ndim != (1 if width is None else 2) or (width is not None and array.shape[1] != width)
    except (TypeError, ValueError):
        wrong = True
    if wrong or not np.isfinite(array).all():
        bad = [index for index, value in enumerate(values) if not _is_finite(value, width)]
        raise DataError(f'{source}: "{field}": expected {expected}, found {_first_of(values, bad)}')
    return array


def _is_finite(value: Any, width: int | None) -> bool:
    parts = [value] if width is None else value
    if not isinstance(parts, list) or (width is not None and len(parts) != width):
        return False
    return all(type(part) in (int, float) and abs(part) <= sys.float_info.max for part in parts)


def _masks(masks: list[Any], image_ids: np.ndarray, ground_truth: LVIS, source: str) -> tuple[np.ndarray, list[bytes]]:
    shape = {key: [image["height"], image["width"]] for key, image in ground_truth.imgs.items()}
    counts = []
    for index, (mask, image) in enumerate(zip(masks, image_ids.tolist(), strict=True)):
        text = mask.get("counts") if type(mask) is dict else None
        if type(text) is not str or not text or not text.isascii():
            raise DataError(
                f'{source}: "segmentation" of detection {index}: expected compressed run lengths, found '
                f'{reprlib.repr(mask)}. Compressed run lengths are an object with "size" and the string "counts"'
            )
        size = mask.get("size")
        if size != shape[image] or not set(map(type, size)) <= {int}:
            raise DataError(
                f'{source}: "segmentation" of detection {index}: expected "size" {shape[image]}, found '
                f'{one_line(size)}. "size" must be the [height, width] of image {image}'
            )
        counts.append(text.encode())
    sizes = np.array([mask["size"] for mask in masks], dtype=np.int32).reshape(-1, 2)
    mask_areas(masks, source)
    _check_complete(sizes, counts, source)
    return sizes, counts


def _check_complete(sizes: np.ndarray, counts: list[bytes], source: str) -> None:
    """Raise DataError if the sum of a mask's run lengths is not the number of pixels of the image.

    pycocotools does not check this.

    Args:
        sizes: (N, 2), height and width of each of N masks.
        counts: N masks as compressed run lengths.
        source: path of the file, for messages.
    """
    found, expected = count_pixels(counts), sizes.prod(axis=1, dtype=np.int64)
    for index in np.flatnonzero(found != expected)[:1].tolist():
        height, width = sizes[index].tolist()
        raise DataError(
            f'{source}: "segmentation" of detection {index}: expected run lengths whose sum is {expected[index]} '
            f"(height {height} x width {width} of the image), found the sum {found[index]}"
        )
