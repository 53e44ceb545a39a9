"""Read and check COCO and LVIS annotation files, and convert them to Detectron2's dataset dicts.

Large files are checked faster by ``cache/part_reading.py``, which uses ``AnnotationChecker`` only for unusual parts.
"""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seesaw_d2.data.boxes_and_masks import box_and_mask_checks
from seesaw_d2.data.boxes_and_masks.box_mask_agreement import Findings, find_disagreement, warn_of
from seesaw_d2.data.images.image_files import check_relative_names
from seesaw_d2.data.records import annotation_checks as checks
from seesaw_d2.data.records.foreign_formats import foreign_format
from seesaw_d2.data.records.formats import AUTO, FORMATS, ID_LISTS, AnnotationFormat, find_format
from seesaw_d2.data.records.header_warnings import warn_of_header
from seesaw_d2.data.records.records import to_object
from seesaw_d2.errors import DataError
from seesaw_d2.utils.json_reading import load_json_object, no_garbage_collection


@dataclass(frozen=True, eq=False)
class AnnotationFile:
    """Checked content of an annotation file. Its images, categories and annotations are parsed JSON objects.

    Attributes:
        path: path of the file.
        format: name of the file's format, "lvis", "coco" or another key of ``FORMATS``.
        images: the images, sorted by id.
        image_files: file name of each image, relative to the image folder.
        categories: the categories, sorted by id. The list index of a category is its contiguous id in Detectron2.
        annotations: the M annotations for training, in the order of the file. Polygons that training cannot use are
            removed. If None, the file contains no annotations, like LVIS's test sets.
        has_area: (M,) bool, True if the box of the annotation has an area inside the image.
        ground_truth: all annotations for evaluation, in the order of the file. Polygons that training cannot use are
            kept. If None, the file contains no annotations.
    """

    path: str
    format: str
    images: list[dict[str, Any]]
    image_files: list[str]
    categories: list[dict[str, Any]]
    annotations: list[dict[str, Any]] | None
    has_area: np.ndarray
    ground_truth: list[dict[str, Any]] | None = None

    @property
    def category_ids(self) -> list[int]:
        return [category["id"] for category in self.categories]

    @property
    def category_names(self) -> list[str]:
        return [category["name"] for category in self.categories]

    def to_dataset_dicts(self, image_root: str, contiguous_ids: dict[int, int] | None = None) -> list[dict[str, Any]]:
        """Return Detectron2's dataset dicts, one per image, sorted by image id.

        Objects whose box has no area inside the image are omitted. Crowds (``iscrowd`` 1) are included, because
        Detectron2's mapper removes crowds. If the file contains no annotations, the dicts lack the key "annotations".

        Args:
            image_root: folder of the image files.
            contiguous_ids: dict from category id to contiguous id. If None, use the list indices of ``categories``.
        """
        contiguous = contiguous_ids or {value: index for index, value in enumerate(self.category_ids)}
        records = {}
        for image, name in zip(self.images, self.image_files, strict=True):
            record = {key: image[key] for key in ("height", "width")}
            record |= {"file_name": os.path.join(image_root, name), "image_id": image["id"]}
            if FORMATS[self.format].federated:
                record |= {key: image[key] for key in ID_LISTS if key in image}
            records[image["id"]] = record
        if self.annotations is not None:
            for record in records.values():
                record["annotations"] = []
            for annotation, usable in zip(self.annotations, self.has_area.tolist(), strict=True):
                if usable:
                    target = records[annotation["image_id"]]["annotations"]
                    target.append(to_object(annotation, contiguous[annotation["category_id"]]))
        return list(records.values())


@no_garbage_collection()
def read_annotations(path: str, dataset_format: str = AUTO) -> AnnotationFile:
    """Read and check an annotation file.

    Args:
        path: path of the JSON file.
        dataset_format: name of a format ("lvis", "coco" or another key of ``FORMATS``). "auto" selects the first format
            that matches the content of the file.

    Raises:
        DataError: the file is missing, its content is invalid, or "auto" cannot determine the format.
    """
    return check_annotations(parse_annotations(path), path, dataset_format)


def parse_annotations(path: str) -> dict[str, Any]:
    """Parse an annotation file, and return the JSON object. NaN is allowed only as the ``area`` of an annotation."""
    return load_json_object(path, count_nan=checks.count_nan_areas, describe=foreign_format)


def check_annotations(data: dict[str, Any], path: str, dataset_format: str = AUTO) -> AnnotationFile:
    """Check the parsed content ``data`` of the annotation file ``path``, and return the checked content.

    Polygons that training cannot use are removed from ``data`` in place. ``dataset_format`` is a format name or "auto".
    """
    found = find_format(dataset_format, data, path)
    if found.convert is not None:
        try:
            data = found.convert(data)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: cannot convert this file from the format {found.name!r} to COCO ({type(error).__name__}: "
                f"{error}). Check that the file has the format {found.name!r}."
            ) from error
    header = read_header(data, path, found)
    # LVIS's test sets contain no annotations. Only training refuses a file without annotations (``check_annotated``).
    if "annotations" not in data:
        return header
    checker = AnnotationChecker(header)
    checked = checker.check(checks.entries(data, "annotations", path))
    checker.finish([checked.findings])
    return dataclasses.replace(
        header, annotations=checked.annotations, has_area=checked.has_area, ground_truth=checked.ground_truth
    )


def read_header(data: dict[str, Any], path: str, annotation_format: AnnotationFormat) -> AnnotationFile:
    """Check the images and categories of a parsed file, and return an ``AnnotationFile`` without annotations.

    Args:
        data: content of the file in the structure of COCO files.
        path: path of the file, for messages.
        annotation_format: format of the file.

    Raises:
        DataError: an image or category is invalid.
    """
    images, image_ids = _sorted_by_id(data, "images", path)
    if not images:
        raise DataError(f'{path}: "images": expected at least one image, found an empty list')
    for field in ("height", "width"):
        checks.positive_column(images, "images", field, path)
    categories, category_ids = _sorted_by_id(data, "categories", path)
    if not categories:
        raise DataError(f'{path}: "categories": expected at least one category, found an empty list')
    checks.check_category_texts(categories, path)
    for field in ID_LISTS:
        checks.check_id_lists(images, field, category_ids, path)
    names = [annotation_format.file_name(image) for image in images]
    check_relative_names(names, image_ids.tolist(), annotation_format.file_fields, path)
    warn_of_header(names, categories, path)
    return AnnotationFile(path, annotation_format.name, images, names, categories, None, np.ones(0, dtype=bool))


@dataclass(frozen=True, eq=False)
class CheckedAnnotations:
    """All annotations of a file, or a part of them, after all checks.

    Attributes:
        annotations: the M annotations for training, without polygons that training cannot use.
        has_area: (M,) bool, True if the box of the annotation has an area inside the image.
        findings: problems that cause warnings instead of errors.
        ground_truth: all annotations for evaluation, with all polygons.
    """

    annotations: list[dict[str, Any]]
    has_area: np.ndarray
    findings: Findings
    ground_truth: list[dict[str, Any]]


class AnnotationChecker:
    """Checker for the annotations of a file. Several processes can each check some of the annotations.

    Args:
        header: the file's checked I images and C categories, as returned by ``read_header``.

    Attributes:
        path: path of the file.
        flags: fields of annotations that must be 0 or 1.
        image_ids: (I,) int64, sorted image ids.
        sizes: (I, 2) int64, height and width of each image.
        category_ids: (C,) int64, sorted category ids.
    """

    def __init__(self, header: AnnotationFile):
        self.path = header.path
        # Only LVIS's evaluation reads the field "ignore". In other formats, this field may contain any value.
        self.flags = ("iscrowd", "ignore") if header.format == "lvis" else ("iscrowd",)
        self.image_ids = np.array([image["id"] for image in header.images], np.int64)
        self.sizes = np.array([(image["height"], image["width"]) for image in header.images], np.int64)
        self.category_ids = np.array(header.category_ids, np.int64)

    def check(self, annotations: list[dict[str, Any]]) -> CheckedAnnotations:
        """Check all annotations of the file, or a part of them. Raise DataError if an annotation is invalid."""
        path = self.path
        ids = checks.id_column(annotations, "annotations", path)
        owners = self._references(annotations, "image_id", self.image_ids, "images", ids)
        self._references(annotations, "category_id", self.category_ids, "categories", ids)
        checks.check_areas(annotations, path)
        for field in self.flags:
            checks.check_flags(annotations, "annotations", field, path)
        sizes = self.sizes[np.searchsorted(self.image_ids, owners)]
        boxes = box_and_mask_checks.checked_boxes(annotations, sizes.max(axis=1), path)
        has_area, flat = box_and_mask_checks.have_area_inside(boxes, sizes), (boxes[:, 2:] <= 0).any(axis=1)
        keep, before, extents = box_and_mask_checks.clean_segmentations(annotations, sizes, path)
        extents[flat] = np.nan
        findings = Findings(
            ids=ids,
            without_area=ids[flat].tolist(),
            outside=ids[~has_area & ~flat].tolist(),
            without_polygons=ids[list(before)].tolist(),
            lost=int((~keep).sum()),
            disagreement=find_disagreement(ids, boxes, extents, sizes),
        )
        kept = [item for item, is_kept in zip(annotations, keep.tolist(), strict=True) if is_kept]
        ground_truth = list(annotations)
        for index, segmentation in before.items():
            ground_truth[index] = {**annotations[index], "segmentation": segmentation}
        return CheckedAnnotations(kept, has_area[keep], findings, ground_truth)

    def finish(self, findings: Sequence[Findings]) -> None:
        """Check that all annotation ids of the file are different, and log warnings about the findings.

        Args:
            findings: problems found by each call of ``check``, together for all annotations of the file.

        Raises:
            DataError: two annotations have the same id.
        """
        checks.check_unique(np.concatenate([part.ids for part in findings]), "annotations", self.path)
        warn_of(findings, self.path)

    def _references(self, annotations, field: str, targets: np.ndarray, key: str, ids: np.ndarray) -> np.ndarray:
        values = checks.integer_column(annotations, "annotations", field, self.path)
        checks.check_references(values, field, targets, key, self.path, ids)
        return values


def _sorted_by_id(data: dict[str, Any], key: str, path: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    items = checks.entries(data, key, path)
    order = np.argsort(ids := checks.id_column(items, key, path))
    return [items[index] for index in order], ids[order]
