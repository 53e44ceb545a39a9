"""Check and lock the folder of a run, so that two runs never write to the same folder."""

import contextlib
import glob
import os
import re

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.preflight.run_lock import NAME, RunLock, begun_by_a_run
from seesaw_d2.utils.atomic_files import check_writable, remove_leftovers
from seesaw_d2.utils.own_files import check_no_link, is_plain_file

# If OUTPUT_DIR contains a file or folder with one of these names, it contains a run.
RESULTS = (
    "last_checkpoint",
    "model_final.pth",
    "model_[0-9]*.pth",
    "model_best.pth",
    "metrics.json",
    "inference",
    "inference_TTA",
)
# A run never writes into these files, but replaces them by renaming a temporary file. Therefore they may be links. The
# option ``--overwrite`` removes them.
_REPLACED = re.compile(r"last_checkpoint|model_(\d{7,}|final|best)\.pth|nonfinite_iter\d+(_rank\d+)?\.pth")
# A run writes directly into these files. They must not be links, because writing would change the target of the link.
# The option ``--overwrite`` removes them, except run.lock.
_IN_PLACE = re.compile(
    r"run\.lock|metrics\.json|log\.txt(\.rank\d+)?|config\.yaml|events\.out\.tfevents\..*|nccl_trace_rank_\d+"
)
# Folders of evaluation results, and the names of the result files in them. The option ``--overwrite`` removes only
# files with these names from the folders.
_FOLDERS = ("inference", "inference_TTA")
_RESULT_FILES = re.compile(
    r"(results|evaluation(_settings)?|categories|classification|(lvis|coco)_instances_results|lvis_submission"
    r"|sem_seg_predictions|predictions|.+_coco_format)\.json|.+_coco_format\.json\.lock"
    r"|(instances_predictions|sem_seg_evaluation)\.pth|box_proposals\.pkl"
    r"|(categories|(semantic_)?per_class|confusion|calibration|predictions)\.csv"
)
# Top-level keys of every config.yaml that Detectron2 saves, first for YAML configs, then for LazyConfigs. They show
# that a config.yaml belongs to a run, and not to another program.
_CONFIGS = ({"MODEL", "SOLVER", "DATASETS", "OUTPUT_DIR", "VERSION"}, {"model", "train", "dataloader", "optimizer"})


class FolderInUse(ConfigError):
    """Raised if OUTPUT_DIR contains another run, but the user passed neither ``--resume`` nor ``--overwrite``."""


def check_output_folder(folder: str, *, resume: bool, overwrite: bool, weights: str = "", own: bool = False) -> None:
    """Check that a run can use a folder, without changing any file.

    Args:
        folder: OUTPUT_DIR.
        resume, overwrite: options of the command line.
        weights: MODEL.WEIGHTS, a file that ``overwrite`` must not remove.
        own: whether this process holds the lock on the folder.

    Raises:
        FolderInUse: the folder contains a run, but neither ``resume`` nor ``overwrite`` is True.
        ConfigError: the folder is not writable, another process uses it, or it contains files that ``overwrite`` must
            not remove.
    """
    if resume and overwrite:
        raise ConfigError("--resume, --overwrite: expected only one of these options, found both.")
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
        raise FolderInUse(
            f"OUTPUT_DIR: {folder} contains another run ({names}, ...). Continue this run with --resume, replace it "
            "with --overwrite, or set OUTPUT_DIR to another folder."
        )
    # If this process holds the lock, skip is_run, which opens and closes the lock file. Closing the file would release
    # the lock, and the file describes this job instead of the earlier run.
    if not own and not is_run(folder):
        raise ConfigError(
            f"OUTPUT_DIR: {folder} contains checkpoints or results, but no config.yaml of a run. --overwrite replaces "
            "only folders of runs. Set OUTPUT_DIR to another folder."
        )
    inside = os.path.realpath(weights).startswith(os.path.join(os.path.realpath(folder), ""))
    if weights and "://" not in weights and inside:
        raise ConfigError(
            f"MODEL.WEIGHTS: expected a file outside of OUTPUT_DIR {folder} with --overwrite, found {weights}. "
            "--overwrite removes the checkpoints in OUTPUT_DIR."
        )


def take_folder(lock: RunLock, *, resume: bool, overwrite: bool, weights: str = "") -> None:
    """Lock OUTPUT_DIR for this job. If ``overwrite`` is True, remove the run in the folder.

    The function checks the folder again, because another job may have written to the folder after the first check. The
    function also removes temporary files of a killed run.

    Args:
        lock: lock on OUTPUT_DIR, not acquired yet.
        resume, overwrite: options of the command line.
        weights: MODEL.WEIGHTS, a file that ``overwrite`` must not remove.

    Raises:
        ConfigError: another process holds the lock, or the folder contains a run or other files that must be kept.
        OutputError: the folder cannot be written.
    """
    lock.acquire()
    check_output_folder(lock.folder, resume=resume, overwrite=overwrite, weights=weights, own=True)
    if overwrite:
        remove_run(lock.folder)
    remove_leftovers(lock.folder, _REPLACED)


def is_run(folder: str) -> bool:
    """Return whether a folder contains a run of this project or of Detectron2's own programs.

    A run of this project has a config.yaml and a lock file. A run of Detectron2's programs has no lock file, but a
    config.yaml with all top-level keys of a Detectron2 config.
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
    """Raise ConfigError if a file that a run writes in place, such as log.txt, or an evaluation result is a link.

    Writing to a link in place would change the target of the link. Checkpoints may be links, because a run replaces
    them atomically, which does not change the target.
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
    """Remove the files that a run wrote to ``folder``. Keep other files, and the targets of links."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name in _FOLDERS and _is_folder(path):
            _remove_results(path)
        elif (name in _FOLDERS and os.path.islink(path)) or (
            name != NAME and (_REPLACED.fullmatch(name) or _IN_PLACE.fullmatch(name)) and not _is_folder(path)
        ):
            os.remove(path)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _remove_results(folder: str) -> None:
    """Remove the result files in a folder and its subfolders, then the empty folders."""
    for root, _, files in os.walk(folder, topdown=False):
        for name in filter(_RESULT_FILES.fullmatch, files):
            os.remove(os.path.join(root, name))
        with contextlib.suppress(OSError):  # rmdir fails if the folder still contains other files
            os.rmdir(root)


def _find(folder: str, patterns) -> list[str]:
    """Return the paths in a folder that match any of the patterns. Broken links are included, empty files are not."""
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(folder), pattern))]
    return [path for path in paths if os.path.isdir(path) or not os.path.exists(path) or os.path.getsize(path)]
