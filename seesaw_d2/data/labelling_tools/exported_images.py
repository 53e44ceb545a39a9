"""The image files that an export means: where they lie, which cannot be read, which are copies of another.

Labelling tools name them by addresses on their server, with a prefix, or by paths of another machine.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote

from tqdm import tqdm

from seesaw_d2.data.images.decoding_check import examine_images
from seesaw_d2.data.records.json_files import first_few
from seesaw_d2.errors import DataError

# What Label Studio puts before the name of an uploaded file.
_PREFIX = re.compile(r"^[0-9a-f]{8}-")
# Images that are worth a process of their own.
_PER_PROCESS = 64


def find_images(data: dict[str, Any], root: Path, source: Path, notes: list[str], *, skip: bool) -> None:
    """Replace each ``file_name`` by the path below ``root`` of the file that it means.

    Args:
        data: the content of ``source``, in COCO's format.
        skip: leave images without a file, and their objects, out.

    Raises:
        DataError: a file is missing (unless ``skip``), several may be meant, or two images have the same one.
    """
    known = _files_below(root)
    missing, ambiguous, changed = [], [], 0
    owners: dict[str, list[str]] = defaultdict(list)
    for image in data["images"]:
        name = str(image.get("file_name", ""))
        parts = next((parts for parts in _meanings(name) if parts[-1] in known), None)
        best = _nearest(known[parts[-1]], parts, root, source.parent) if parts else None
        if parts is None:
            missing.append(name)
        elif best is None:
            ambiguous.append(name)
        else:
            changed += best.as_posix() != name
            image["file_name"] = best.as_posix()
            owners[best.as_posix()].append(str(image.get("id")))
    twice = [f"{name} (ids {', '.join(ids)})" for name, ids in owners.items() if len(ids) > 1]
    count = len(data["images"])
    if ambiguous:
        raise DataError(_found(root, "several files of this name", ambiguous, count))
    if missing and not skip:
        raise DataError(f"{_found(root, 'no such file', missing, count)}; --images names the folder where they lie")
    if twice:
        raise DataError(f'{source}: expected one entry in "images" for each file, found several: {first_few(twice)}')
    if missing:
        notes.append(f"left out, {_found(root, 'no such file', missing, count)}")
        _leave_out(data, set(missing))
    if changed:
        notes.append(f"{changed} file names are now paths below {root}")


def check_images(data: dict[str, Any], root: Path, notes: list[str], *, skip: bool) -> None:
    """Decode every image.

    Args:
        data: after ``find_images``.
        skip: leave images that cannot be decoded, and their objects, out.

    Raises:
        DataError: some cannot be decoded (unless ``skip``), or have another size than annotated.
    """
    records = [{"file_name": str(root / image["file_name"]), **_size(image)} for image in data["images"]]
    workers = max(1, min(os.cpu_count() or 1, len(records) // _PER_PROCESS))
    found = tqdm(examine_images(records, workers), total=len(records), unit="image", leave=False, disable=None)
    problems = {image.path: image for image in found}
    bad, other = [], []
    for image in data["images"]:
        examined = problems[str(root / image["file_name"])]
        listed = {"unreadable": bad, "size": other}.get(examined.kind)
        if listed is not None:
            listed.append((image["file_name"], f"{image['file_name']} ({examined.problem})"))
    for wrong, problem in ((bad, "no image that can be read"), (other, "another width x height than annotated")):
        text = _found(root, problem, [text for _, text in wrong], len(records))
        if wrong and not (skip and wrong is bad):
            raise DataError(text + "; --skip-bad-images does without them" * (wrong is bad))
        if wrong:
            notes.append(f"left out, {text}")
            _leave_out(data, {name for name, _ in wrong})


def _files_below(root: Path) -> dict[str, list[Path]]:
    """Name -> paths below ``root`` of the files of this name; links to folders are followed, each folder once."""
    known, seen = defaultdict(list), set()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        if os.path.realpath(folder) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(folder))
        for name in names:
            known[name].append(Path(folder, name).relative_to(root))
    return dict(known)


def _meanings(name: str) -> Iterator[tuple[str, ...]]:
    """What a name may mean, likeliest first, as parts of a path: itself, a path of Windows, an address."""
    path, _, query = name.partition("?")
    texts = [name, name.replace("\\", "/"), unquote(path).replace("\\", "/")]
    texts += parse_qs(query).get("d", [])  # Label Studio's local files: /data/local-files/?d=folder%2Fa.jpg
    found = [parts for parts in (PurePosixPath(text).parts for text in texts) if parts]
    yield from found
    yield from ((*parts[:-1], _PREFIX.sub("", parts[-1])) for parts in found if _PREFIX.match(parts[-1]))


def _nearest(candidates: list[Path], parts: tuple[str, ...], root: Path, beside: Path) -> Path | None:
    """The one candidate with the longest common end, or among equals the one beside the annotation file."""
    if len(candidates) < 2:
        return candidates[0]

    def common(path: Path) -> int:
        pairs = zip(reversed(path.parts), reversed(parts), strict=False)
        return next((index for index, (left, right) in enumerate(pairs) if left != right), len(path.parts))

    longest = max(map(common, candidates))
    best = [path for path in candidates if common(path) == longest]
    if len(best) > 1:
        best = [path for path in best if beside in (root / path).parents]
    return best[0] if len(best) == 1 else None


def _found(root: Path, problem: str, names: list[str], count: int) -> str:
    return f"images below {root}: {problem} for {len(names)} of {count}: {first_few(names)}"


def _size(image: dict[str, Any]) -> dict[str, int]:
    """Width and height, where they are numbers; what is wrong with them is found with the annotations."""
    return {key: image[key] for key in ("width", "height") if type(image.get(key)) is int}


def _leave_out(data: dict[str, Any], names: set[str]) -> None:
    """Take the images of these names out, with their objects."""
    gone = {image.get("id") for image in data["images"] if str(image.get("file_name", "")) in names}
    data["images"] = [image for image in data["images"] if image.get("id") not in gone]
    data["annotations"] = [item for item in data["annotations"] if item.get("image_id") not in gone]
