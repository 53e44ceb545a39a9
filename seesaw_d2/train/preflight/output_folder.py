"""Check and take the folder of a run, so that no run is lost or mixed with another."""

import glob
import os
import shutil

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.preflight.run_lock import RunLock
from seesaw_d2.utils.atomic_files import check_writable, remove_leftovers

# Files that mean that a folder holds a run, and all files that a run writes.
RESULTS = (
    "last_checkpoint",
    "model_final.pth",
    "model_[0-9]*.pth",
    "model_best.pth",
    "metrics.json",
    "inference",
    "inference_TTA",
)
WRITTEN = (*RESULTS, "events.out.tfevents.*", "log.txt*", "config.yaml", "nonfinite_iter*.pth", "nccl_trace_rank_*")
# Beginnings of the names of files that a killed process may leave unfinished.
_CHECKPOINTS = ("last_checkpoint.", "model_", "nonfinite_iter")


def check_output_folder(folder: str, *, resume: bool, overwrite: bool, weights: str = "", own: bool = False) -> None:
    """Refuse a folder that cannot be written, that another run uses, or that holds a run.

    Args:
        folder: OUTPUT_DIR.
        resume, overwrite: options of the command line.
        weights: MODEL.WEIGHTS, which ``overwrite`` must not remove.
        own: whether this process has the lock on the folder.

    Raises:
        ConfigError: the folder is refused. Nothing is removed here.
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
        return
    if not overwrite:
        names = ", ".join(sorted(os.path.basename(path) for path in found)[:4])
        raise ConfigError(
            f"OUTPUT_DIR: {folder} holds another run ({names}, ...): continue it with --resume, replace it with "
            "--overwrite, or name another folder with OUTPUT_DIR path"
        )
    if not os.path.isfile(os.path.join(folder, "config.yaml")):
        raise ConfigError(
            f"OUTPUT_DIR: {folder} has checkpoints or results and no config.yaml, which each run writes: "
            "--overwrite removes only runs; name another folder with OUTPUT_DIR path"
        )
    inside = os.path.realpath(weights).startswith(os.path.join(os.path.realpath(folder), ""))
    if weights and "://" not in weights and inside:
        raise ConfigError(f"MODEL.WEIGHTS: {weights} is in OUTPUT_DIR, whose run --overwrite would remove")


def take_folder(lock: RunLock, *, resume: bool, overwrite: bool, weights: str = "") -> None:
    """Lock ``lock.folder`` for this job, and check it again: another job may have written to it in the meantime.

    Remove the run in it with ``overwrite``, and in any case the unfinished files of a killed run.

    Raises:
        ConfigError: another job uses or has used it. OutputError: it cannot be written.
    """
    lock.acquire()
    check_output_folder(lock.folder, resume=resume, overwrite=overwrite, weights=weights, own=True)
    if overwrite:
        remove_run(lock.folder)
    remove_leftovers(lock.folder, _CHECKPOINTS)


def remove_run(folder: str) -> None:
    """Remove the files that a run wrote from ``folder``, and nothing else."""
    for path in _find(folder, WRITTEN):
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.remove(path)


def _find(folder: str, patterns) -> list[str]:
    """Return the existing paths, including broken links, without empty files."""
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(folder), pattern))]
    return [path for path in paths if os.path.isdir(path) or not os.path.exists(path) or os.path.getsize(path)]
