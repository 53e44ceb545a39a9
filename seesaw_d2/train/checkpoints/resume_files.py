"""Which checkpoint of a folder a training resumes from: never one that is torn."""

import glob
import os
import re
import zipfile
import zlib
from dataclasses import dataclass

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.regular_files import irregular
from seesaw_d2.weights.checkpoint_io import read_checkpoint

# Names the last checkpoint, as in Detectron2.
POINTER = "last_checkpoint"
FINAL = "model_final.pth"
_NUMBERED = re.compile(r"model_(\d{7,})\.pth")


@dataclass(frozen=True)
class Found:
    """A checkpoint that can be resumed from, and what is wrong with those that would have come before it."""

    path: str
    problems: tuple[str, ...] = ()


# folder -> what its checkpoints were like when it was looked at, and what was found: each is read as a whole.
_found: dict[str, tuple[object, Found | None]] = {}


def checkpoint_name(iteration: int) -> str:
    """Name, without ".pth", of the checkpoint after an iteration (counted from 0), as in Detectron2."""
    return f"model_{iteration:07d}"


def numbered(folder: str) -> list[tuple[int, str]]:
    """(iteration, path) of the checkpoints that are named by their iteration, the newest first."""
    paths = glob.glob(os.path.join(glob.escape(folder), "model_*.pth"))
    matches = [(_NUMBERED.fullmatch(os.path.basename(path)), path) for path in paths]
    return sorted(((int(match.group(1)), path) for match, path in matches if match), reverse=True)


def resume_file(folder: str) -> Found | None:
    """The checkpoint that ``last_checkpoint`` names; if it or that is torn, the newest that is good.

    A checkpoint is good if all of it can be read and holds weights and their iteration.

    Returns:
        None if there is none, and no ``last_checkpoint`` either: a training that has not come to its first checkpoint.
        (Weights without an iteration that are called ``model_final.pth`` may be those that it starts from.)

    Raises:
        WeightsError: there are only bad ones.
    """
    paths = [os.path.join(folder, name) for name in (POINTER, FINAL)] + [path for _, path in numbered(folder)]
    state = [(path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in paths if os.path.isfile(path)]
    if folder not in _found or _found[folder][0] != state:
        _found[folder] = (state, _look(folder))
    return _found[folder][1]


def _look(folder: str) -> Found | None:
    pointer, problems = os.path.join(folder, POINTER), []
    if irregular(pointer):
        problems.append(f"{pointer}: expected the name of a checkpoint, found {irregular(pointer)}")
    elif os.path.exists(pointer):
        with open(pointer, "rb") as file:
            name = file.read(1000).decode(errors="replace").strip()
        if not name.endswith(".pth") or os.path.basename(name) != name:
            problems.append(f"{pointer}: expected the name of a checkpoint, found {name[:50]!r}")
        else:
            path = os.path.join(folder, name)
            try:
                _iteration(path, must_know=False)
                return Found(path)
            except WeightsError as error:
                problems.append(str(error))
    good = []
    candidates = [path for _, path in numbered(folder)]
    for paths in (candidates, [os.path.join(folder, FINAL)]):
        for path in filter(os.path.isfile, paths):
            try:
                good.append((_iteration(path), path))
                break
            except WeightsError as error:
                problems.append(str(error))
    if good:
        return Found(max(good)[1], tuple(dict.fromkeys(problems)))
    if os.path.exists(pointer) or candidates:
        listed = "\n  ".join(dict.fromkeys(problems))
        raise WeightsError(f"{folder}: no checkpoint to resume from:\n  {listed}")
    return None


def _iteration(path: str, must_know: bool = True) -> int:
    """The iteration of a checkpoint that can be read."""
    if not os.path.isfile(path):
        raise WeightsError(f"{path}: no such file")
    _check_sums(path)
    iteration = read_checkpoint(path).get("iteration")
    if must_know and type(iteration) is not int:
        raise WeightsError(f"{path}: expected a checkpoint of a training, found one without its iteration")
    return iteration if type(iteration) is int else -1


def _check_sums(path: str) -> None:
    """Compare what an archive holds with its checksums, which PyTorch writes and does not look at when it reads."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError) as error:
        raise WeightsError(f"{path}: expected a PyTorch checkpoint, found a torn or other file: {error}") from error
    if bad is not None:
        raise WeightsError(f"{path}: damaged: the checksum of {bad} is not that of its content")


def write_pointer(folder: str, name: str) -> None:
    """Let ``last_checkpoint`` name a file, atomically."""
    write_text(os.path.join(folder, POINTER), name)


def keep_newest(folder: str, iteration: int, count: int) -> None:
    """Remove all but ``count`` of the numbered checkpoints up to ``iteration``; 0 keeps all.

    Those of later iterations belong to a run that somebody has gone back from.
    """
    if count > 0:
        for _, path in [entry for entry in numbered(folder) if entry[0] <= iteration][count:]:
            os.remove(path)
