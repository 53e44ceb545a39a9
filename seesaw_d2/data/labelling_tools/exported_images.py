"""Find and decode the image files that belong to the export of a labelling tool, and report skipped files."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from seesaw_d2.data.images.decoding_check import examine_images
from seesaw_d2.data.images.headers import TWICE
from seesaw_d2.data.images.lookup import describe_near
from seesaw_d2.data.labelling_tools.image_name_matching import ExportedFiles
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.messages import first_few

# One worker process is started for each group of this number of images, up to the number of CPU cores. For fewer
# images, starting a process takes more time than it saves.
_PER_PROCESS = 64


def find_images(
    data: dict[str, Any],
    files: ExportedFiles,
    source: Path,
    notes: list[str],
    *,
    others: Sequence[Path] = (),
    skip: bool,
) -> None:
    """Find the file of each image in an annotation file, and set "file_name" to its path relative to ``files.root``.

    Args:
        data: content of the annotation file in COCO format. The function changes the content in place.
        files: files below the image folder.
        source: path of the annotation file.
        notes: list to which the function appends messages for the user about skipped images and replaced names.
        others: paths of all annotation files of the export. An image file in the folder of another annotation file is
            used only if no other file matches.
        skip: if True, remove images without a file and their objects. If False, raise DataError for a missing file.

    Raises:
        DataError: an image has no name, several files match an image, two images have the same file, or ``skip`` is
            False and a file is missing.
    """
    _check_named(data, source)
    missing, ambiguous, changed = [], [], {}
    near: dict[str, list[str]] = {}
    owners: dict[str, list[str]] = defaultdict(list)
    for image in data["images"]:
        name = str(image["file_name"])
        found = files.meant(name, source.parent, [path.parent for path in others])
        if len(found) == 1:
            (image["file_name"],) = found
            owners[found[0]].append(str(image.get("id")))
            if name != found[0]:
                changed[name] = found[0]
        elif found:
            ambiguous.append(f"{name} ({first_few(found)})")
        else:
            missing.append(name)
            near |= files.near(name)
    twice = [f"{name} (image ids {', '.join(ids)})" for name, ids in owners.items() if len(ids) > 1]
    count, root = len(data["images"]), files.root
    if ambiguous:
        text = _found(f"with several files of the same name below {root}", ambiguous, count)
        remedy = "Set --images to a folder that contains only one of these files."
        raise DataError(f"{source}: expected one file for each image, found {text}. {remedy}")
    absent = _found(f"without a file below {root}", missing, count) + describe_near(near)
    if missing and not skip:
        remedy = "Set --images to the folder of the images."
        raise DataError(f"{source}: expected a file for each image, found {absent}. {remedy}")
    if twice:
        raise DataError(f'{source}: "images": expected one image per file, found several for {first_few(twice)}')
    if missing:
        notes.append(f"skipped {absent}{_leave_out(data, set(missing))}")
    if changed:
        notes.append(f"replaced {len(changed)} file names by paths below {root}: {_pairs(changed)}")
    elsewhere = {name: path for name, path in changed.items() if files.in_another_folder(name, path)}
    if elsewhere:
        notes.append(f"found {len(elsewhere)} images in another folder than in their file_name: {_pairs(elsewhere)}")


def check_default_folder(data: dict[str, Any], root: Path, source: Path) -> None:
    """Raise ConfigError if images of ``--val`` are in its folder, but ``root`` has others of the same name.

    Without ``--images``, ``root`` is the folder of the training annotations. A validation image, such as a frame of
    another video, can have the name of a training image, which would be used in its place.

    Args:
        data: content of the annotation file of the validation images.
        root: folder of the annotation file of the training images.
        source: path of the annotation file of the validation images.
    """
    names = [str(image.get("file_name")).replace("\\", "/") for image in data["images"]]
    pairs = [(name, root / name, source.parent / name) for name in names]
    both = [pair for pair in pairs if os.path.isfile(pair[1]) and os.path.isfile(pair[2])]
    wrong = [name for name, at, beside in both if not os.path.samefile(at, beside)]
    if wrong:
        common = os.path.commonpath([root.absolute(), source.parent.absolute()])
        raise ConfigError(
            f"--images: expected a folder with the images of both annotation files, found {root}. {len(wrong)} images "
            f"of {source} are in the folder of this file, but {root} has other images of the same names: "
            f"{first_few(wrong)}. Set --images to a folder that contains both folders, such as {common}."
        )


def check_images(data: dict[str, Any], root: Path, notes: list[str], *, skip: bool) -> None:
    """Decode all images of an annotation file, and check that they have the annotated width and height.

    Args:
        data: content of the annotation file in COCO format. "file_name" is relative to ``root``. The function removes
            skipped images and their objects from ``data``.
        root: folder of the images.
        notes: list to which the function appends messages for the user about skipped and unusual images.
        skip: if True, remove images that cannot be decoded, and the objects in these images. If False, raise DataError
            for an image that cannot be decoded.

    Raises:
        DataError: an image does not have the annotated size, EXIF data rotate or mirror a TIFF file, or ``skip`` is
            False and an image cannot be decoded.
    """
    records = [{"file_name": str(root / image["file_name"]), **_size(image)} for image in data["images"]]
    workers = max(1, min(os.cpu_count() or 1, len(records) // _PER_PROCESS))
    found = tqdm(examine_images(records, workers), total=len(records), unit="image", leave=False, disable=None)
    problems = {image.path: image for image in found}
    bad, twice, other, deep, several, turned = [], [], [], [], [], []
    for image in data["images"]:
        examined = problems[str(root / image["file_name"])]
        kinds = {"unreadable": bad, "twice": twice, "size": other, "deep": deep, "several": several, "turned": turned}
        listed = kinds.get(examined.kind)
        if listed is not None:
            listed.append((image["file_name"], f"{image['file_name']} ({examined.problem})"))
    for wrong, expected, problem, advice in (
        (bad, "readable images", "that cannot be decoded", ". Use --skip-bad-images to skip such images."),
        (twice, "TIFF files without a rotation in their EXIF data", "with a rotation", f". {TWICE}."),
        (other, "images of the annotated size", "without the annotated width x height", ""),
    ):
        text = _found(f"below {root} {problem}", [text for _, text in wrong], len(records))
        if wrong and not (skip and wrong is bad):
            raise DataError(f"--images: expected {expected}, found {text}{advice}")
        if wrong:
            notes.append(f"skipped {text}{_leave_out(data, {name for name, _ in wrong})}")
    for listed, problem in (
        (deep, "have more than 8 bits per channel (Detectron2 clips the values at 255)"),
        (several, "have several frames or pages (only the first frame or page is used)"),
        (
            turned,
            "have EXIF data that rotate or mirror them (Detectron2 applies the EXIF data. Check that the annotations "
            "fit the rotated or mirrored images)",
        ),
    ):
        if listed:
            notes.append(_found(f"below {root} {problem}", [text for _, text in listed], len(records)))


def look_at_other_files(files: ExportedFiles, named: Iterable[str], known: Iterable[Path], notes: list[str]) -> None:
    """Report files in the image folder that no annotation file mentions, because their labels may be missing.

    Args:
        files: files below the image folder.
        named: paths of the images in the annotation files, relative to the image folder.
        known: paths of the annotation files and of the output folder, which are not reported.
        notes: list to which the function appends messages for the user.
    """
    images, skipped = set(named), [os.path.realpath(path) for path in known]
    others = [path for path in files.below.files if path not in images]
    root = os.path.realpath(files.root)
    others = [path for path in others if not any(f"{root}/{path}/".startswith(f"{one}/") for one in skipped)]
    if others:
        kinds = Counter(PurePosixPath(path).suffix or "without extension" for path in others)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        notes.append(
            f'skipped {len(others)} files below {files.root} that are not listed in "images" ({counts}): '
            f"{first_few(others)}"
        )
    for paths, kind in (
        (files.below.hidden, "hidden files or folders"),
        (files.below.other, "broken links, pipes, devices or unreadable folders"),
    ):
        if paths:
            notes.append(f"skipped {len(paths)} {kind} below {files.root}: {first_few(paths)}")


def _check_named(data: dict[str, Any], source: Path) -> None:
    nameless = first_few(image.get("id") for image in data["images"] if image.get("file_name") in (None, ""))
    if nameless:
        raise DataError(
            f'{source}: expected "file_name" in all images, found images without this field (image ids {nameless})'
        )


def _pairs(changed: Mapping[str, str]) -> str:
    return first_few((f"{name} -> {path}" for name, path in changed.items()), limit=2)


def _found(problem: str, names: list[str], count: int) -> str:
    return f"{len(names)} of {count} images {problem}: {first_few(names)}"


def _size(image: dict[str, Any]) -> dict[str, int]:
    """Return the annotated "width" and "height" of an image. Omit invalid values, which a later check reports."""
    return {key: image[key] for key in ("width", "height") if type(image.get(key)) is int}


def _leave_out(data: dict[str, Any], names: set[str]) -> str:
    """Remove images and their objects from the content of an annotation file.

    Args:
        data: content of the annotation file in COCO format. The function changes the content in place.
        names: "file_name" of the images to remove.

    Returns:
        text with the number of removed objects, such as ". Also skipped 3 objects in these images".
    """
    gone = {image.get("id") for image in data["images"] if str(image.get("file_name", "")) in names}
    objects = [item for item in data["annotations"] if item.get("image_id") not in gone]
    text = f". Also skipped {len(data['annotations']) - len(objects)} objects in these images"
    data["images"] = [image for image in data["images"] if image.get("id") not in gone]
    data["annotations"] = objects
    return text
