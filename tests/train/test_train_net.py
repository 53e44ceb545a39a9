"""Test train_net.py: training, resuming, evaluation, and mistakes."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from seesaw_d2.evaluation.evaluation_settings import SETTINGS_FILE
from seesaw_d2.train import main


def files(folder: Path) -> set:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def results_of(run: Path) -> dict:
    (path,) = run.glob("inference/*/results.json")
    return json.loads(path.read_text())


def training_groups(config_file: Path) -> set:
    """Return the names of the frequency groups in the training data."""
    data = json.loads(Path(yaml.safe_load(config_file.read_text())["DATASETS"]["REGISTER"][0]["JSON"]).read_text())
    images = [
        {item["image_id"] for item in data["annotations"] if item["category_id"] == c["id"]} for c in data["categories"]
    ]
    return {"rare" if len(found) <= 10 else "common" for found in images}


@pytest.fixture
def trained(config_file):
    """Return the folder of a finished run."""
    assert main(["--config-file", str(config_file)]) == 0
    return config_file.parent / "run"


def test_each_job_of_a_process_logs_once_and_to_its_own_file(config_file, capsys):
    command = ["--config-file", str(config_file), "SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()"]
    first, second = (config_file.parent / name for name in ("first", "second"))
    assert main([*command, "OUTPUT_DIR", str(first)]) == 0
    log = (first / "log.txt").read_text()
    capsys.readouterr()
    assert main([*command, "OUTPUT_DIR", str(second)]) == 0
    assert capsys.readouterr().out.count("Schedule: ") == 1
    assert (first / "log.txt").read_text() == log
    assert (second / "log.txt").read_text().count("Starting training from iteration 0") == 1


def test_trains_evaluates_and_reproduces(trained, config_file, capsys):
    results = results_of(trained)
    assert {"AP", "APr", "APc", "APf"} <= set(results["bbox"]) & set(results["segm"])
    assert {"model_final.pth", "metrics.json", "config.yaml", "log.txt", "last_checkpoint"} <= files(trained)
    losses = [json.loads(line) for line in (trained / "metrics.json").read_text().splitlines()]
    assert any("loss_cls_classes" in line for line in losses)
    # The last value is a mean over all iterations. Each group had a proposal in at least one iteration.
    logged = set().union(*losses)
    assert {f"fast_rcnn/{name}" for name in ("cls_accuracy", "objectness_accuracy", "class_accuracy")} <= logged
    groups = training_groups(config_file)
    assert {f"fast_rcnn/class_accuracy_{name}" for name in groups} <= logged
    weights = torch.load(trained / "model_final.pth", weights_only=True)
    counts = weights["model"]["roi_heads.box_predictor.cls_loss.class_counts"]
    assert counts.dtype == torch.int64
    assert counts.sum() == 3 * 4 * 64  # iterations x images x proposals

    # In another folder, --eval-only gives the same numbers, and does not change the files of the run.
    before = {name: (trained / name).read_bytes() for name in ("config.yaml", "metrics.json")}
    other = config_file.parent / "evaluated"
    arguments = ["--config-file", str(config_file), "--eval-only", "MODEL.WEIGHTS", str(trained / "model_final.pth")]
    assert main([*arguments, "OUTPUT_DIR", str(other)]) == 0
    assert results_of(other) == results
    assert main(arguments) == 0
    assert results_of(trained) == results
    assert before == {name: (trained / name).read_bytes() for name in before}
    assert not list(trained.rglob(SETTINGS_FILE))


def test_resume_goes_on_with_the_optimizer(trained, config_file):
    assert main(["--config-file", str(config_file), "--resume", "SOLVER.MAX_ITER", "5"]) == 0
    state = torch.load(trained / "model_final.pth", weights_only=True)
    assert state["iteration"] == 4
    # The momentum of the first iterations is kept, because the checkpoint at iteration 3 contains the momentum.
    momentum = state["trainer"]["_trainer"]["optimizer"]["state"]
    assert momentum
    assert all(torch.isfinite(entry["momentum_buffer"]).all() for entry in momentum.values())


def test_second_run_into_the_same_folder_is_refused(trained, config_file, capsys):
    before = {name: (trained / name).read_bytes() for name in files(trained)}
    assert main(["--config-file", str(config_file)]) == 2
    assert "contains another run" in capsys.readouterr().err
    assert before == {name: (trained / name).read_bytes() for name in files(trained)}
    assert main(["--config-file", str(config_file), "--overwrite", "SOLVER.MAX_ITER", "1"]) == 0
    assert torch.load(trained / "model_final.pth", weights_only=True)["iteration"] == 0


def test_overwrite_removes_the_old_run_only_when_all_is_well(trained, config_file, capsys):
    before = {name: (trained / name).read_bytes() for name in files(trained) - {"log.txt"}}  # this process still logs
    command = ["--config-file", str(config_file), "--overwrite"]
    inside = str(trained / "model_final.pth")
    wrong = (["MODEL.WEIGHTS", inside], ["SOLVER.IMS_PER_BATCH", "0"], ["MODEL.SMALL_RESNET.BLOCKS", "0"])
    for overrides in wrong:
        assert main([*command, *overrides]) == 2
        assert before == {name: (trained / name).read_bytes() for name in files(trained) - {"log.txt"}}
    (trained / "mine.pth").write_bytes(b"not the run's")
    (trained / "config.yaml").unlink()
    assert main(command) == 2
    assert "no config.yaml" in capsys.readouterr().err
    assert (trained / "model_final.pth").exists()
    (trained / "config.yaml").write_bytes(before["config.yaml"])
    assert main([*command, "SOLVER.MAX_ITER", "1"]) == 0
    assert (trained / "mine.pth").read_bytes() == b"not the run's"
    assert not (trained / "model_0000001.pth").exists()


def test_links_in_place_of_folders(trained, config_file, tmp_path, capsys):
    """Test broken links and links to another folder. --overwrite removes only the link."""
    command = ["--config-file", str(config_file)]
    (tmp_path / "nothing").symlink_to(tmp_path / "nowhere")
    for folder in ("nothing", "nothing/run"):
        assert main([*command, "OUTPUT_DIR", str(tmp_path / folder)]) == 2
        assert f"expected a folder, found the broken link {tmp_path}/nothing" in capsys.readouterr().err
    run = config_file.parent / "run"
    (run / "inference").rename(tmp_path / "elsewhere")
    (run / "inference").symlink_to(tmp_path / "elsewhere")
    short = ["SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()"]
    assert main([*command, "--overwrite", *short]) == 0
    assert not (run / "inference").is_symlink()
    assert list((tmp_path / "elsewhere").iterdir())
    (run / "inference").symlink_to(tmp_path / "nowhere")
    assert main([*command, *short]) == 2
    assert "contains another run" in capsys.readouterr().err
    assert main([*command, "--overwrite", *short]) == 0


def test_weights_without_statistics_are_not_evaluated(trained, config_file, capsys):
    """Test the error for a checkpoint without statistics of batch normalization, which would give other numbers."""
    weights = torch.load(trained / "model_final.pth", weights_only=True)
    weights["model"] = {name: value for name, value in weights["model"].items() if "running_" not in name}
    torch.save(weights, trained / "stripped.pth")
    arguments = ["--eval-only", "MODEL.WEIGHTS", str(trained / "stripped.pth")]
    assert main(["--config-file", str(config_file), *arguments]) == 2
    assert "running_mean: not in the file" in capsys.readouterr().err


def test_torn_weights_are_named(config_file, trained, capsys):
    torn = config_file.parent / "torn.pth"
    torn.write_bytes((trained / "model_final.pth").read_bytes()[:10000])
    assert main(["--config-file", str(config_file), "--eval-only", "MODEL.WEIGHTS", str(torn)]) == 2
    assert "torn.pth" in capsys.readouterr().err


SOFTMAX = [
    *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss", "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "class"),
    *("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"),
]


def test_softmax_weights_in_a_seesaw_head(config_file, capsys):
    """Test that evaluation raises an error, and that fine-tuning logs the parameters that keep their initial values."""
    run = config_file.parent / "softmax"
    assert main(["--config-file", str(config_file), "OUTPUT_DIR", str(run), *SOFTMAX]) == 0
    weights = ["MODEL.WEIGHTS", str(run / "model_final.pth")]
    capsys.readouterr()
    assert main(["--config-file", str(config_file), "--eval-only", *weights]) == 2
    error = capsys.readouterr().err
    assert "roi_heads.box_predictor.cls_score.weight: expected shape (8, 256), found (7, 256)" in error
    assert not (config_file.parent / "run").exists()
    assert main(["--config-file", str(config_file), *weights]) == 0
    log = (config_file.parent / "run" / "log.txt").read_text()
    assert "cls_score.weight: expected shape (8, 256), found (7, 256)" in log
    assert "keep their initial values" in log


def test_a_corrupt_image_is_named_and_can_be_skipped(config_file, glyphs, tmp_path, capsys):
    image = sorted(glyphs.glob("images/train/*.jpg"))[0]
    content = image.read_bytes()
    image.write_bytes(content[:200])
    try:
        assert main(["--config-file", str(config_file), "SOLVER.MAX_ITER", "12"]) == 2
        assert image.name in capsys.readouterr().err
        skip = ["SOLVER.MAX_ITER", "8", "DATALOADER.SKIP_BAD_IMAGES", "True", "OUTPUT_DIR", str(tmp_path / "skip")]
        assert main(["--config-file", str(config_file), *skip]) == 0
    finally:
        image.write_bytes(content)


@pytest.mark.parametrize("renamed", [False, True], ids=["by its name", "by its file"])
def test_a_test_set_that_is_trained_on_is_told(config_file, renamed, capsys):
    config = yaml.safe_load(config_file.read_text())
    name = f"{config['DATASETS']['TRAIN'][0]}{'_again' if renamed else ''}"
    if renamed:
        config["DATASETS"]["REGISTER"].append({**config["DATASETS"]["REGISTER"][0], "NAME": name})
    config["DATASETS"]["TEST"] = [name]
    config_file.write_text(yaml.safe_dump(config))
    assert main(["--config-file", str(config_file), "SOLVER.MAX_ITER", "1", "SOLVER.STEPS", "()"]) == 0
    assert f"DATASETS.TRAIN also contains {name}" in (config_file.parent / "run/log.txt").read_text()
    weights = ["MODEL.WEIGHTS", str(config_file.parent / "run/model_final.pth")]
    capsys.readouterr()
    assert main(["--config-file", str(config_file), "--eval-only", *weights]) == 0
    assert f"DATASETS.TRAIN also contains {name}" in "".join(capsys.readouterr())


def test_other_test_sets_are_not(trained):
    assert "DATASETS.TRAIN also contains" not in (trained / "log.txt").read_text()
