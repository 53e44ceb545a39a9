"""Check and lock the folder of a run, so that no run is lost or mixed with another."""

import contextlib
import glob
import os
import re

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.preflight.run_lock import NAME, RunLock, begun_by_a_run
from seesaw_d2.utils.atomic_files import check_writable, remove_leftovers
from seesaw_d2.utils.own_files import check_no_link, is_plain_file

# A folder with one of these files contains a run.
RESULTS = (
    "last_checkpoint",
    "model_final.pth",
    "model_[0-9]*.pth",
    "model_best.pth",
    "metrics.json",
    "inference",
    "inference_TTA",
)
# Files that a run replaces atomically, files that it writes in place, and its folders of results with their files.
_REPLACED = re.compile(r"last_checkpoint|model_(\d{7,}|final|best)\.pth|nonfinite_iter\d+(_rank\d+)?\.pth")
_IN_PLACE = re.compile(
    r"run\.lock|metrics\.json|log\.txt(\.rank\d+)?|config\.yaml|events\.out\.tfevents\..*|nccl_trace_rank_\d+"
)
_FOLDERS = ("inference", "inference_TTA")
_RESULT_FILES = re.compile(
    r"(results|evaluation|categories|classification|lvis_instances_results|coco_instances_results|lvis_submission"
    r"|sem_seg_predictions)\.json|instances_predictions\.pth|(categories|(semantic_)?per_class|confusion|calibration)\.csv"
)
# Keys that are in all configs saved by Detectron2, for YAML configs and for LazyConfigs.
_CONFIGS = ({"MODEL", "SOLVER", "DATASETS", "OUTPUT_DIR", "VERSION"}, {"model", "train", "dataloader", "optimizer"})


def check_output_folder(folder: str, *, resume: bool, overwrite: bool, weights: str = "", own: bool = False) -> None:
    """Reject a folder that cannot be written, that another run uses, or that contains a run.

    Args:
        folder: OUTPUT_DIR.
        resume, overwrite: command-line options.
        weights: MODEL.WEIGHTS, a file that ``overwrite`` must not remove.
        own: whether this process holds the lock on the folder.

    Raises:
        ConfigError: the folder is rejected. Nothing is removed.
    """
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite: expected one of them, found both")
    if not folder:
        raise ConfigError("OUTPUT_DIR: expected the path of a folder, found ''")
    check_writable(folder, "OUTPUT_DIR")
    if not own:
        RunLock(folder).check()
    found = _find(folder, RESULTS)
    if not found or resume:
        check_links(folder)
        return
    if not overwrite:
        names = ", ".join(sorted(os.path.basename(path) for path in found)[:4])
        raise ConfigError(
            f"OUTPUT_DIR: {folder} holds another run ({names}, ...): continue it with --resume, replace it with "
            "--overwrite, or name another folder with OUTPUT_DIR path"
        )
    # With the lock, its file has this job's text. Reading the file would also release the lock.
    if not own and not is_run(folder):
        raise ConfigError(
            f"OUTPUT_DIR: {folder} has checkpoints or results, but no config.yaml of a run; --overwrite removes only "
            "runs; name another folder with OUTPUT_DIR path"
        )
    inside = os.path.realpath(weights).startswith(os.path.join(os.path.realpath(folder), ""))
    if weights and "://" not in weights and inside:
        raise ConfigError(f"MODEL.WEIGHTS: {weights} is in OUTPUT_DIR, whose run --overwrite would remove")


def take_folder(lock: RunLock, *, resume: bool, overwrite: bool, weights: str = "") -> None:
    """Lock ``lock.folder`` for this job, and check it again, because another job may have written to it.

    With ``overwrite``, remove the run in the folder. Always remove unfinished files of a killed run.

    Raises:
        ConfigError: another job uses or has used the folder. OutputError: the folder cannot be written.
    """
    lock.acquire()
    check_output_folder(lock.folder, resume=resume, overwrite=overwrite, weights=weights, own=True)
    if overwrite:
        remove_run(lock.folder)
    remove_leftovers(lock.folder, _REPLACED)


def is_run(folder: str) -> bool:
    """Return whether a folder contains a run: a config and the lock of a run, or the complete config of a run.

    Plain Detectron2 writes no lock.
    """
    lock, config = (os.path.join(folder, name) for name in (NAME, "config.yaml"))
    if not is_plain_file(config):
        return False
    if is_plain_file(lock) and begun_by_a_run(folder):
        return True
    with open(config, encoding="utf-8", errors="replace") as file:
        keys = set(re.findall(r"^(\w+):", file.read(1 << 20), re.MULTILINE))
    return any(keys >= expected for expected in _CONFIGS)


def check_links(folder: str) -> None:
    """Raise ConfigError if a file that a run writes in place is not a regular file, or a folder of results has a link.

    Writing would follow the link. Checkpoints are replaced atomically, which replaces a link and not its target.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    for name in filter(_IN_PLACE.fullmatch, names):
        check_no_link(os.path.join(folder, name), "OUTPUT_DIR")
    for name in set(names) & set(_FOLDERS):
        check_no_link(os.path.join(folder, name), "OUTPUT_DIR", "a folder")
        for root, inner, files in os.walk(os.path.join(folder, name)):
            for each in (*inner, *files):
                check_no_link(os.path.join(root, each), "OUTPUT_DIR", "a file or folder")


def remove_run(folder: str) -> None:
    """Remove only the files that a run wrote to ``folder``. Remove links without following them."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name in _FOLDERS and os.path.isdir(path) and not os.path.islink(path):
            _remove_results(path)
        elif (name in _FOLDERS and os.path.islink(path)) or (
            name != NAME and (_REPLACED.fullmatch(name) or _IN_PLACE.fullmatch(name)) and not _is_folder(path)
        ):
            os.remove(path)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _remove_results(folder: str) -> None:
    """Remove the results in a folder of evaluations, then remove empty folders."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in filter(_RESULT_FILES.fullmatch, files):
            os.remove(os.path.join(root, name))
        with contextlib.suppress(OSError):  # the folder has other files
            os.rmdir(root)


def _find(folder: str, patterns) -> list[str]:
    """Return the existing paths that match, including broken links, without empty files."""
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(folder), pattern))]
    return [path for path in paths if os.path.isdir(path) or not os.path.exists(path) or os.path.getsize(path)]
