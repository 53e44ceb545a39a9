"""Find images of an exported dataset that show the same photo or video.

If a training image and a validation image show the same photo or video, the model is evaluated on content that it was
trained on. The metrics are then too high.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from seesaw_d2.data.images.image_files import same_content, shared_files
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

# Splits the names of Roboflow's augmented versions and tiles of a photo at ".rf.", to find the name of the photo. For
# example, the versions of photo.jpg are called "photo_jpg.rf.<hash>.jpg". Some tools replace the dots by "-" or "_".
_VERSION = re.compile(r"\.rf\.(?=\w)|[._-]rf[._-](?=[0-9a-f]{32})")
# Match the names of video frames, such as Roboflow's "video_mp4-0001_jpg.rf.<hash>.jpg" (first pattern) and CVAT's
# "frame_000001.png" (second pattern). Group 1 is the name of the video. It is empty if the file name does not contain
# the name of the video.
_FRAMES = (
    re.compile(r"^(.+[._](?:mp4|mov|avi|mkv|webm|m4v|mpe?g|wmv))[^0-9A-Za-z]*(?:frame)?[^0-9A-Za-z]*\d+", re.I),
    re.compile(r"^(.*?)[^0-9A-Za-z]*frame[^0-9A-Za-z]*\d+", re.I),
)
# Matches names with the prefix of Label Studio, such as "0a1b2c3d-photo.jpg". Group 1 is the name without the prefix,
# "photo.jpg". One of the 8 hexadecimal digits must be a letter, because 8 decimal digits can be a date such as
# 20240131.
_UPLOAD = re.compile(r"^(?=[0-9]*[a-f])[0-9a-f]{8}(?:-|__)(.+)$")


def related_images(data: dict[str, Any], root: Path, notes: list[str]) -> list[list[Any]]:
    """Group images that must not be divided between training and validation, because they show the same photo.

    These are image files with the same content, and augmented versions or tiles of one photo.

    Args:
        data: content of an annotation file in COCO format. "file_name" is relative to ``root``.
        root: folder of the images.
        notes: list to which the function appends messages for the user about the groups.

    Returns:
        the image ids of each group. Groups have no common images.
    """
    images = data["images"]
    copies = same_content([str(root / image["file_name"]) for image in images])
    by_photo = defaultdict(list)
    for index, photos in enumerate(_photos(images)):
        for photo in photos:
            by_photo[photo].append(index)
    versions = _joined(group for group in by_photo.values() if len(group) > 1)
    for groups, kind in ((copies, "images with the same content"), (versions, "versions of the same photo")):
        if groups:
            named = first_few(" = ".join(images[index]["file_name"] for index in group[:4]) for group in groups)
            notes.append(f"{kind} stay together in the split: {named}")
    return [[images[index].get("id") for index in group] for group in _joined([*copies, *versions])]


def check_overlap(files: list[dict[str, Any]], root: Path, notes: list[str], *, allowed: bool) -> None:
    """Raise DataError if a validation image has the path or the content of a training image.

    Args:
        files: content of the annotation file of the training images, and content of that of the validation images.
        root: folder of the images.
        notes: list to which the function appends a message for the user if ``allowed`` is True.
        allowed: if True, append a message to ``notes`` instead of raising DataError.
    """
    train, val = ([str(root / image["file_name"]) for image in data["images"]] for data in files)
    pairs = [[os.path.relpath(path, root) for path in pair] for pair in shared_files(train, val).items()]
    if not pairs:
        return
    named = first_few(name if name == trained else f"{name} (= {trained})" for name, trained in pairs)
    text = f"{len(pairs)} of {len(val)} validation images that are also training images: {named}"
    if not allowed:
        raise DataError(
            f"--val: expected validation images that are not training images, found {text}. Such images make the "
            "metrics too high. Use --allow-overlap to accept such images."
        )
    notes.append(f"kept {text}")


def look_at_related_images(train: Sequence[dict], val: Sequence[dict], notes: list[str]) -> None:
    """Report validation images whose file names suggest that they show the same photo or video as training images.

    Args:
        train, val: training images and validation images, as dicts in COCO format with "file_name".
        notes: list to which the function appends messages for the user.
    """
    for keys_of, relation, advice in (
        (
            _photos,
            "are versions of photos of training images",
            "Move all versions of a photo to the training images, or all to the validation images",
        ),
        (
            _videos,
            "look like frames of the same videos as training images",
            "Set --val to an annotation file of other videos",
        ),
        (
            _uploads,
            "differ from the name of a training image only in the prefix that Label Studio adds",
            "If such images show the same photo, move them all to the training images",
        ),
    ):
        keys = keys_of([*train, *val])
        known = set().union(*keys[: len(train)])
        found = [image["file_name"] for image, own in zip(val, keys[len(train) :], strict=True) if own & known]
        if found:
            notes.append(
                f"{len(found)} of {len(val)} validation images {relation}: {first_few(found)}. The metrics on such "
                f"images can be too high. {advice}"
            )


def _photos(images: Sequence[dict[str, Any]]) -> list[set[str]]:
    """Find out which images are versions of the same photo, according to Roboflow's file names.

    For example, photo.jpg and its augmented version photo_jpg.rf.<hash>.jpg both get the photo name "photo-jpg".

    Args:
        images: dicts in COCO format with "file_name", and in Roboflow's exports with "extra".

    Returns:
        for each image, the set of its photo names. The set of an image without versions is empty.
    """
    names = [_original_names(image) for image in images]
    known = set().union(*names)
    return [
        own or known & {_plain(PurePosixPath(image["file_name"]).name)}
        for image, own in zip(images, names, strict=True)
    ]


def _original_names(image: dict[str, Any]) -> set[str]:
    extra = image.get("extra")
    name = extra.get("name") if isinstance(extra, dict) else None
    found = {_plain(_VERSION.split(name, maxsplit=1)[0])} if isinstance(name, str) and name else set()
    return found | {photo for photo in (version_of(image["file_name"]),) if photo}


def version_of(path: str) -> str:
    """Extract the name of the original photo from the file name that Roboflow gives to an augmented version.

    For example, "a/photo_jpg.rf.<hash>.jpg" gives "photo-jpg". Other file names give "".
    """
    photo, *version = _VERSION.split(PurePosixPath(path).name, maxsplit=1)
    return _plain(photo) if version else ""


def _plain(name: str) -> str:
    """Replace other characters than letters and digits by "-", to compare names. "a 1.jpg" gives "a-1-jpg"."""
    return re.sub(r"[\W_]+", "-", name)


def _videos(images: Sequence[dict[str, Any]]) -> list[set[str]]:
    """Find out which images are frames of the same video, according to their file names.

    For example, "video_mp4-0001.jpg" is a frame of "video_mp4". If the file name contains no name of a video, as in
    "clips/frame_000001.png", the folder counts as the video.

    Args:
        images: dicts in COCO format with "file_name".

    Returns:
        for each image, a set with the name of its video, or an empty set for images that are no frames.
    """
    found: list[set[str]] = []
    for path in (PurePosixPath(image["file_name"]) for image in images):
        names = [match[1] for pattern in _FRAMES if (match := pattern.match(path.name))]
        found.append({names[0] or f"{path.parent}/"} if names else set())
    return found


def _uploads(images: Sequence[dict[str, Any]]) -> list[set[str]]:
    """Remove the prefix that Label Studio adds to file names: "0a1b2c3d-photo.jpg" gives "photo.jpg".

    Args:
        images: dicts in COCO format with "file_name".

    Returns:
        for each image, a set with the file name without the prefix, or an empty set for names without a prefix.
    """
    matches = [_UPLOAD.match(PurePosixPath(image["file_name"]).name) for image in images]
    return [{match[1]} if match else set() for match in matches]


def _joined(groups: Iterable[Sequence[int]]) -> list[list[int]]:
    """Merge groups of image indices that share an index. For example, [0, 1] and [1, 2] give [0, 1, 2]."""
    joined: dict[int, list[int]] = {}
    for group in groups:
        members = sorted({other for index in group for other in joined.get(index, [index])})
        joined.update(dict.fromkeys(members, members))
    return list({members[0]: members for members in joined.values()}.values())
