"""Test how the number of processes is chosen, and trainings in processes that are spawned or started by torchrun."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seesaw_d2.train import main
from seesaw_d2.train.preflight.run_lock import RunLock, begun_by_this_job
from tests.train.launch.test_process_layout import SLURM, TORCHRUN


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-processes", "3"], "SOLVER.IMS_PER_BATCH: expected a positive multiple of 3"),
        (["--num-gpus", "2"], "use --num-processes"),
        (["--num-processes", "2", "SOLVER.COLLECTIVE_TIMEOUT", "0.0"], "SOLVER.COLLECTIVE_TIMEOUT"),
        (["--num-processes", "2", "SOLVER.AMP.ENABLED", "True"], "SOLVER.AMP.DTYPE: expected bfloat16"),
    ],
)
def test_wrong_turns_end_before_any_process_starts(config_file, capsys, options, message):
    assert main(["--config-file", str(config_file), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (config_file.parent / "run").exists()


def test_without_a_config(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("error: --config-file: ")


def test_a_batch_that_torchruns_processes_do_not_divide(config_file, capsys, monkeypatch):
    for name, value in {**TORCHRUN, "WORLD_SIZE": "16"}.items():
        monkeypatch.setenv(name, value)
    assert main(["--config-file", str(config_file)]) == 2
    assert "multiple of 16" in capsys.readouterr().err


def started_anew(monkeypatch, torchrun: Path) -> None:
    """Set the environment variables of a process that torchrun restarted."""
    one = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    one["TORCHELASTIC_RESTART_COUNT"] = "1"
    errors = torchrun / "attempt_1/0"
    errors.mkdir(parents=True, exist_ok=True)
    one["TORCHELASTIC_ERROR_FILE"] = str(errors / "error.json")
    for name, value in {**TORCHRUN, **one}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("option", [[], ["--overwrite"]])
def test_a_restart_resumes_the_run_of_its_job_and_no_other(config_file, tmp_path, capsys, monkeypatch, option):
    command = ["--config-file", str(config_file), *option, "TEST.EVAL_PERIOD", "0", "DATASETS.TEST", "()"]
    run = config_file.parent / "run"
    with monkeypatch.context() as patch:
        started_anew(patch, tmp_path / "first")
        assert main(command) == 0
    with monkeypatch.context() as patch:
        started_anew(patch, tmp_path / "second")
        assert main(command) == (0 if option else 2)
        assert ("contains another run" in capsys.readouterr().err) != bool(option)
    kept = run / "inference"  # another run would replace this folder
    kept.mkdir()
    with monkeypatch.context() as patch:
        started_anew(patch, tmp_path / ("second" if option else "first"))
        assert main([*command, "SOLVER.MAX_ITER", "4"]) == 0
    assert kept.exists()


def test_a_requeued_step_knows_its_run(tmp_path, monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert not begun_by_this_job(str(tmp_path))
    lock = RunLock(str(tmp_path))
    lock.acquire()
    lock.release()
    assert begun_by_this_job(str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "12346")
    assert not begun_by_this_job(str(tmp_path))
    for name in SLURM:
        monkeypatch.delenv(name)
    assert not begun_by_this_job(str(tmp_path))


TRAIN_NET = [sys.executable, str(Path(__file__).parents[3] / "train_net.py")]
FREE = "--rdzv-endpoint=localhost:0"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("starter", ["spawned", "torchrun", "srun", "machines"])
def test_trains_and_evaluates_in_two_processes(config_file, starter):
    run = config_file.parent / "run"
    command = [*TRAIN_NET, "--config-file", str(config_file)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    if starter == "spawned":
        done = [subprocess.run([*command, "--num-processes", "2"], env=environ, capture_output=True, text=True)]
    elif starter == "torchrun":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend=c10d", FREE]
        done = [subprocess.run([*torchrun, *command[1:]], env=environ, capture_output=True, text=True)]
    else:
        tasks = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NODELIST": "localhost"}
        tasks["SLURM_JOB_ID"] = "77"
        machines = ["--num-machines", "2", "--num-processes", "1", "--dist-url", f"tcp://localhost:{free_port()}"]
        started = []
        for n in range(2):
            task = {**tasks, "SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)} if starter == "srun" else {}
            options = [] if starter == "srun" else [*machines, "--machine-rank", str(n)]
            started.append(
                subprocess.Popen(
                    [*command, *options],
                    env={**environ, **task},
                    stderr=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        done = [subprocess.CompletedProcess(p.args, p.wait(), *p.communicate()) for p in started]
    assert [each.returncode for each in done] == [0] * len(done), done[-1].stderr
    weights = torch.load(run / "model_final.pth", weights_only=True)
    counts = weights["model"]["roi_heads.box_predictor.cls_loss.class_counts"]
    assert counts.sum() == 3 * 4 * 64  # iterations x images x proposals of both processes
    assert "World size: 2" in (run / "log.txt").read_text()
    assert (run / "log.txt.rank1").exists()
    assert len(list(run.glob("inference/*/results.json"))) == 1
