"""Test that programs replace only run folders, remove only files of runs, and do not follow links."""

import multiprocessing
import os

import pytest
import yaml

from seesaw_d2.errors import ConfigError, OutputError
from seesaw_d2.evaluation import (
    classification_evaluator,
    evaluate,
    evaluation_settings,
    lvis_evaluator,
    results_files,
    semantic_evaluator,
)
from seesaw_d2.train.preflight.output_folder import check_output_folder, take_folder
from seesaw_d2.train.preflight.run_lock import RunLock
from tests.data.toy import make_cfg

EVALUATIONS = (classification_evaluator, evaluation_settings, lvis_evaluator, results_files, semantic_evaluator)
USERS = (
    "notes.txt",
    "model_notes.tmp",
    "model_final.pth.my_notes.tmp",
    "model_1_of_mine.pth",
    "log.txt.backup",
    "metrics.json.old",
    "inference/notes.txt",
    "inference/toy/drawing.png",
)
OURS = (
    "model_0000001.pth",
    "model_final.pth",
    "last_checkpoint",
    "metrics.json",
    "log.txt",
    "config.yaml",
    "events.out.tfevents.1.host.2.0",
    "inference/toy/results.json",
    "inference_TTA/toy/lvis_instances_results.json",
    *(
        f"inference/toy/{value}"
        for module in EVALUATIONS
        for name, value in vars(module).items()
        if name.endswith("_FILE")
    ),
    *(f"inference/toy/{name}" for name in evaluate.EVALUATION_FILES),
    # files of Detectron2's evaluators
    *(
        f"inference/toy/{name}"
        for name in ("coco_instances_results.json", "instances_predictions.pth", "predictions.json")
    ),
    *(f"inference/toy/{name}" for name in ("box_proposals.pkl", "sem_seg_evaluation.pth", "toy_coco_format.json")),
)


def fill(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def take(folder, **options):
    options = {"resume": False, "overwrite": False, **options}
    check_output_folder(str(folder), **options)  # the preflight calls this function before the lock exists
    lock = RunLock(str(folder))
    try:
        take_folder(lock, **options)
    finally:
        lock.release()


def test_the_run_goes_and_the_users_files_stay(tmp_path):
    take(tmp_path)
    fill(tmp_path, [*OURS, *USERS])
    take(tmp_path, overwrite=True)
    assert files(tmp_path) == {"run.lock", *USERS}
    take(tmp_path, resume=True)
    assert files(tmp_path) == {"run.lock", *USERS}


def _race(folder, begin, end, overwrite, answers):
    begin.wait()
    try:
        take_folder(lock := RunLock(folder), resume=False, overwrite=overwrite)
        answers.put(lock is not None)
    except ConfigError as error:
        answers.put(str(error))
    end.wait()  # keep the lock until the test ends


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_runs_that_start_together_one_gets_the_folder(tmp_path, overwrite):
    context = multiprocessing.get_context("fork")
    for number in range(5):
        folder, begin, end, answers = tmp_path / f"run{number}", context.Barrier(2), context.Barrier(2), context.Queue()
        if overwrite:
            take(folder)
            fill(folder, [*OURS, *USERS])
        arguments = (str(folder), begin, end, overwrite, answers)
        processes = [context.Process(target=_race, args=arguments) for _ in range(2)]
        for process in processes:
            process.start()
        found = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join(60)
        assert found.count(True) == 1
        (message,) = [each for each in found if each is not True]
        assert f"OUTPUT_DIR: {folder}" in message
        assert files(folder) == {"run.lock", *(USERS if overwrite else ())}


@pytest.mark.parametrize("config", ["model: {}", "MODEL: {}\nSOLVER: {}\nOUTPUT_DIR: x", "- 1", "\0"])
def test_a_config_and_a_folder_of_results_are_no_run(tmp_path, config):
    fill(tmp_path, ["inference/code.py", "model_0000001.pth"])
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "run.lock").write_text("of my bicycle")
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=f"OUTPUT_DIR: {tmp_path}"):
        take(tmp_path, overwrite=True)
    assert files(tmp_path) == before


def test_a_run_of_plain_detectron2_is_one(tmp_path):
    fill(tmp_path, OURS)
    (tmp_path / "config.yaml").write_text(make_cfg().dump())
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())
    take(tmp_path, overwrite=True)
    assert files(tmp_path) == {"run.lock"}


IN_PLACE = ["metrics.json", "log.txt", "log.txt.rank1", "config.yaml", "inference", "inference/toy/results.json"]


@pytest.mark.parametrize("make", [os.symlink, lambda _, path: os.mkfifo(path)], ids=["link", "pipe"])
@pytest.mark.parametrize("name", IN_PLACE)
def test_nothing_is_written_through_a_link(tmp_path, name, make):
    if name.endswith("results.json") and make is not os.symlink:
        pytest.skip("results are replaced as a whole")
    users, run = tmp_path / "mine", tmp_path / "run"
    users.mkdir()
    (run / name).parent.mkdir(parents=True)
    make(users, run / name)
    with pytest.raises(ConfigError, match=name):
        take(run, resume=True)
    assert os.listdir(users) == []
    assert files(run) == set()


def test_a_link_in_place_of_the_lock(tmp_path):
    users, run = tmp_path / "mine.txt", tmp_path / "run"
    users.write_text("mine")
    run.mkdir()
    (run / "run.lock").symlink_to(users)
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises((ConfigError, OutputError), match=r"run\.lock"):
            take(run, **options)
    with pytest.raises(OutputError, match=r"run\.lock"):
        RunLock(str(run)).acquire()
    assert users.read_text() == "mine"
