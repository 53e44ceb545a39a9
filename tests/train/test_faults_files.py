"""Test damaged files of a run, a full disk, and folders of other runs."""

import multiprocessing
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import torch

from seesaw_d2.errors import ConfigError, OutputError, WeightsError
from seesaw_d2.train import main
from seesaw_d2.train.checkpoints.resume_files import keep_newest, numbered, resume_file, write_pointer
from seesaw_d2.train.preflight.run_lock import RunLock
from seesaw_d2.utils.atomic_files import atomic_file, remove_leftovers
from seesaw_d2.weights.checkpoint_io import write_checkpoint


def write_run(folder: Path, iterations=(1, 3), final=None) -> Path:
    folder.mkdir(exist_ok=True)
    for iteration in iterations:
        content = {"model": {"w": torch.full((1000,), float(iteration))}, "iteration": iteration}
        write_checkpoint(folder / f"model_{iteration:07d}.pth", content)
        write_pointer(str(folder), f"model_{iteration:07d}.pth")
    if final is not None:
        write_checkpoint(folder / "model_final.pth", {"model": {}, "iteration": final})
        write_pointer(str(folder), "model_final.pth")
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    """Damage one byte of a tensor, and keep the directory of the archive intact."""
    content = bytearray(path.read_bytes())
    place = content.index(torch.full((1000,), 3.0).numpy().tobytes()) + 1000
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "zeros": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "half": lambda path: path.write_bytes(path.read_bytes()[:2000]),
    "flipped": flip,
    "absent": lambda path: path.unlink(),
    "other": lambda path: torch.save([1, 2], path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_checkpoint_is_passed_over(tmp_path, damage):
    run = write_run(tmp_path / "run")
    assert resume_file(str(run)).path.endswith("model_0000003.pth")
    DAMAGES[damage](run / "model_0000003.pth")
    found = resume_file(str(run))
    assert found.path.endswith("model_0000001.pth")
    assert "model_0000003.pth" in found.problems[0]
    DAMAGES[damage if damage != "flipped" else "cut"](run / "model_0000001.pth")
    with pytest.raises(WeightsError, match=r"model_000000"):
        resume_file(str(run))


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", b"model_00", b"../run/model_0000003.pth", b"model_9999999.pth", b"\xff\xfe.pth"]
)
def test_a_torn_pointer_is_passed_over(tmp_path, content):
    run = write_run(tmp_path / "run")
    (run / "last_checkpoint").write_bytes(content)
    assert resume_file(str(run)).path.endswith("model_0000003.pth")
    (run / "last_checkpoint").unlink()
    assert resume_file(str(run)).path.endswith("model_0000003.pth")


def test_the_pointer_decides_where_it_is_whole(tmp_path):
    """Test that last_checkpoint selects the checkpoint, because users edit it to go back or to extend finished runs."""
    run = write_run(tmp_path / "run", (1, 3, 5), final=2)
    assert resume_file(str(run)).path.endswith("model_final.pth")
    write_pointer(str(run), "model_0000003.pth")
    assert resume_file(str(run)).path.endswith("model_0000003.pth")
    (run / "last_checkpoint").write_bytes(b"?")
    assert resume_file(str(run)).path.endswith("model_0000005.pth")


def test_bad_checkpoints_without_a_pointer_are_no_beginning(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "last_checkpoint").unlink()
    for path in run.glob("model_*.pth"):
        cut(path)
    with pytest.raises(WeightsError, match=r"model_0000003"):
        resume_file(str(run))


def test_weights_that_are_no_run(tmp_path):
    torch.save({"model": {}}, tmp_path / "model_final.pth")
    assert resume_file(str(tmp_path)) is None


def test_as_many_as_are_kept(tmp_path):
    run = write_run(tmp_path / "run", (1, 3, 5, 7), final=7)
    keep_newest(str(run), 5, 0)
    assert [iteration for iteration, _ in numbered(str(run))] == [7, 5, 3, 1]
    keep_newest(str(run), 5, 2)  # the user went back from iteration 7
    assert [iteration for iteration, _ in numbered(str(run))] == [7, 5, 3]
    assert (run / "model_final.pth").exists()


def test_resume_after_damage_and_refusal_without_anything_good(config_file, capsys):
    run = config_file.parent / "run"
    command = ["--config-file", str(config_file), "TEST.EVAL_PERIOD", "0"]
    assert main(command) == 0
    cut(run / "model_final.pth")
    assert main([*command[:2], "--resume", *command[2:]]) == 0
    log = (run / "log.txt").read_text()
    assert f"{run / 'model_final.pth'}" in log
    assert "Starting training from iteration 2" in log
    assert torch.load(run / "model_final.pth", weights_only=True)["iteration"] == 2
    for path in run.glob("model_*.pth"):
        cut(path)
    for options in (["--resume"], ["--eval-only", "--resume"]):
        assert main([*command[:2], *options]) == 2
        error = capsys.readouterr().err
        assert "error: " in error
        assert "model_final.pth" in error
        assert "Traceback" not in error


def test_a_full_disk_leaves_the_last_checkpoint(small_disk):
    good = {"model": {"w": torch.ones(1000)}, "iteration": 1}
    path = small_disk / "model_0000001.pth"
    write_checkpoint(path, good)
    before = path.read_bytes()
    for target in (path, small_disk / "model_0000003.pth"):
        with pytest.raises(OutputError, match=r"model_000000.\.pth: .*No space left.*3\.8 MiB needed"):
            write_checkpoint(target, {"model": {"w": torch.ones(1_000_000)}})
    assert path.read_bytes() == before
    assert [entry.name for entry in small_disk.iterdir()] == [path.name]
    write_checkpoint(path, good)  # the disk has space again


def test_a_training_whose_disk_fills_up(config_file, small_disk, capsys):
    """Test a disk for only one of two checkpoints. The first stays, and the message contains instructions."""
    size = main(["--config-file", str(config_file), "SOLVER.MAX_ITER", "1"])
    assert size == 0
    needed = (config_file.parent / "run" / "model_final.pth").stat().st_size
    subprocess.run(["mount", "-o", f"remount,size={int(1.5 * needed)}", small_disk], check=True)
    assert main(["--config-file", str(config_file), "OUTPUT_DIR", str(small_disk / "run")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "model_final.pth: cannot write the file: No space left" in error
    assert "MiB needed" in error
    found = resume_file(str(small_disk / "run"))
    assert found.path.endswith("model_0000001.pth")
    assert not found.problems
    assert not list((small_disk / "run").glob("*.tmp"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("ours"), KeyboardInterrupt()])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    expected = OutputError if isinstance(error, OSError) else type(error)

    def write():
        with atomic_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(expected):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_leaves_is_removed(tmp_path):
    with atomic_file(tmp_path / "model_0000001.pth"):
        (left,) = (path.name for path in tmp_path.iterdir())
    users = (
        "model_notes.tmp",
        "model_0000001.pth.my_notes.tmp",
        "model_0000001.pth",
        left.replace("0000001", "of_mine"),
    )
    for name in (left, *users):
        (tmp_path / name).touch()
    remove_leftovers(str(tmp_path), re.compile(r"model_\d+\.pth"))
    assert {path.name for path in tmp_path.iterdir()} == {"model_0000001.pth", *users}


def test_a_folder_that_cannot_be_written(config_file, small_disk, capsys):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for folder in (small_disk, small_disk / "run"):
        assert main(["--config-file", str(config_file), "OUTPUT_DIR", str(folder)]) == 2
        assert "OUTPUT_DIR: " in capsys.readouterr().err


def hold(folder, pipe):
    lock = RunLock(folder)  # this releases the lock
    lock.acquire()
    pipe.send("held")
    time.sleep(100)


def test_two_runs_in_one_folder(config_file, capsys):
    run = config_file.parent / "run"
    context = multiprocessing.get_context("fork")
    pipe, theirs = context.Pipe()
    holder = context.Process(target=hold, args=(str(run), theirs))
    holder.start()
    try:
        assert pipe.recv() == "held"
        for options in ([], ["--resume"], ["--overwrite"]):
            assert main(["--config-file", str(config_file), *options]) == 2
            assert f"is in use by process {os.getpid()} on {os.uname().nodename}" in capsys.readouterr().err
        with pytest.raises(ConfigError, match="in use"):
            RunLock(str(run)).acquire()
    finally:
        holder.kill()
        holder.join()
    # The kernel has released the lock.
    lock = RunLock(str(run))
    lock.acquire()
    lock.release()
