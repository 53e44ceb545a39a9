"""Find the checkpoint to resume from in a folder, and skip damaged files."""

import glob
import os
import re
from dataclasses import dataclass

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.messages import shortened, shown
from seesaw_d2.utils.regular_files import irregular, open_regular
from seesaw_d2.weights.checkpoint_io import read_checkpoint

# Detectron2's file with the name of the last checkpoint. A resumed run continues from this checkpoint.
POINTER = "last_checkpoint"
FINAL = "model_final.pth"
_NUMBERED = re.compile(r"model_(\d{7,})\.pth")


@dataclass(frozen=True)
class Found:
    """The checkpoint from which a run resumes.

    Attributes:
        path: path of the checkpoint.
        problems: messages about damaged files that the search skipped, empty if ``last_checkpoint`` was intact.
    """

    path: str
    problems: tuple[str, ...] = ()


# Cache of ``resume_file``, because each search reads whole checkpoints. Maps a folder to a pair: the times and sizes of
# its files, and the checkpoint that was found. If a time or a size has changed, ``resume_file`` searches again.
_found: dict[str, tuple[object, Found | None]] = {}


def checkpoint_name(iteration: int) -> str:
    """Return the name of the checkpoint after an iteration (counted from 0), such as "model_0000999" for 999."""
    return f"model_{iteration:07d}"


def numbered(folder: str) -> list[tuple[int, str]]:
    """Return pairs (iteration, path) of the files model_<iteration>.pth in a folder, latest iteration first."""
    paths = glob.glob(os.path.join(glob.escape(folder), "model_*.pth"))
    matches = [(_NUMBERED.fullmatch(os.path.basename(path)), path) for path in paths]
    return sorted(((int(match.group(1)), path) for match, path in matches if match), reverse=True)


def resume_file(folder: str) -> Found | None:
    """Return the checkpoint to resume from: the one named in ``last_checkpoint`` or, if damaged, the latest intact one.

    A checkpoint is intact if it can be read completely, and contains weights and an iteration.

    Returns:
        the checkpoint, or None if the run has not saved a checkpoint yet. The result is None if the folder contains no
        ``last_checkpoint``, no ``model_<iteration>.pth``, and no ``model_final.pth`` that contains an iteration. (A
        ``model_final.pth`` without an iteration may be a file of initial weights.)

    Raises:
        WeightsError: the run has saved checkpoints, but all of them are missing or damaged.
    """
    paths = [os.path.join(folder, name) for name in (POINTER, FINAL)] + [path for _, path in numbered(folder)]
    state = [(path, os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in paths if os.path.isfile(path)]
    if folder not in _found or _found[folder][0] != state:
        _found[folder] = (state, _look(folder))
    return _found[folder][1]


def _look(folder: str) -> Found | None:
    pointer, problems = os.path.join(folder, POINTER), []
    if irregular(pointer):
        problems.append(f"{pointer}: expected a text file, found {irregular(pointer)}")
    elif os.path.exists(pointer):
        with open_regular(pointer, "rb") as file:
            name = file.read(1000).decode(errors="replace").strip()
        if not name.endswith(".pth") or os.path.basename(name) != name:
            problems.append(f"{pointer}: expected the name of a .pth file in this folder, found {name[:50]!r}")
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
        raise WeightsError(
            f"{folder}: cannot resume, because all checkpoints are missing or damaged. Restore one of these files, or "
            f"run without --resume. Problems: {'. '.join(dict.fromkeys(problems))}"
        )
    return None


def _iteration(path: str, must_know: bool = True) -> int:
    """Return the iteration of a checkpoint. If the file contains no iteration and ``must_know`` is False, return -1.

    Raises:
        WeightsError: the file is missing or damaged, or contains no iteration and ``must_know`` is True.
    """
    if not os.path.isfile(path):
        raise WeightsError(f"{path}: no such file")
    try:
        iteration = read_checkpoint(path, inspect=True).get("iteration")
    except WeightsError:
        raise
    except Exception as error:  # reading a damaged file can raise errors of many types
        found = shortened(f"{type(error).__name__}: {error}")
        raise WeightsError(
            f"{path}: cannot read this checkpoint, because the file is damaged or has another format ({found})"
        ) from error
    if must_know and type(iteration) is not int:
        found = "no such key" if iteration is None else shown(iteration)
        raise WeightsError(
            f'{path}: "iteration": expected an integer, found {found}. Without it, a run cannot resume from this file'
        )
    return iteration if type(iteration) is int else -1


def write_pointer(folder: str, name: str) -> None:
    """Write the name of a checkpoint to the file ``last_checkpoint`` atomically."""
    write_text(os.path.join(folder, POINTER), name)


def keep_newest(folder: str, iteration: int, count: int) -> None:
    """Remove old checkpoints model_<iteration>.pth, so that at most ``count`` checkpoints up to ``iteration`` remain.

    If ``count`` is 0, remove nothing. Checkpoints after ``iteration`` always stay. They exist if the user has resumed
    the run from an earlier checkpoint.

    Args:
        folder: OUTPUT_DIR.
        iteration: iteration of the checkpoint that was just saved.
        count: SOLVER.CHECKPOINT_KEEP.
    """
    if count > 0:
        for _, path in [entry for entry in numbered(folder) if entry[0] <= iteration][count:]:
            os.remove(path)
