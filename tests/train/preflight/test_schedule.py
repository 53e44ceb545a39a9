"""Test the conversion of epochs to iterations for any batch size, sampler and number of GPUs."""

import re

import pytest
import torch
import yaml
from detectron2.solver import build_lr_scheduler

from seesaw_d2.data import load_training_dicts, register_datasets
from seesaw_d2.data.sampling.repeat_factors import epoch_length
from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config, main
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.preflight.schedule import apply_schedule, check_schedule, resolve_schedule, scale_to_processes

LVIS_V1 = 100170
# Number of images with objects. By default, other images are omitted, as with filter_empty_gt of the reference.
LVIS_V1_ANNOTATED = 99388
TWO_TIMES = ("SOLVER.EPOCHS", 24.0, "SOLVER.STEP_EPOCHS", [16, 22], "SOLVER.BASE_LR", 0.02)


def solver(*overrides):
    return load_config("", [*TWO_TIMES, "SOLVER.REFERENCE_BATCH_SIZE", 16, *overrides]).SOLVER


@pytest.mark.parametrize(
    ("images", "batch", "max_iter", "steps"),
    [
        # batch size 16 of the recipe, on 1, 8 or 16 GPUs: the schedule is the same
        (LVIS_V1, 16, 24 * 6261, (16 * 6261, 22 * 6261)),
        (LVIS_V1_ANNOTATED, 16, 24 * 6212, (16 * 6212, 22 * 6212)),
        # 2 images per GPU, on 1 GPU and on 16 GPUs
        (LVIS_V1, 2, 24 * 50085, (16 * 50085, 22 * 50085)),
        (LVIS_V1, 32, 24 * 3131, (16 * 3131, 22 * 3131)),
    ],
)
def test_iterations_and_learning_rate(images, batch, max_iter, steps):
    schedule = resolve_schedule(solver("SOLVER.IMS_PER_BATCH", batch), images, float(images))
    assert (schedule.max_iter, schedule.steps) == (max_iter, steps)
    assert schedule.base_lr == pytest.approx(0.02 * batch / 16)


def test_fractions_of_epochs_and_repeated_images():
    node = solver("SOLVER.IMS_PER_BATCH", 4, "SOLVER.EPOCHS", 2.5, "SOLVER.STEP_EPOCHS", [0.5, 2])
    schedule = resolve_schedule(node, 30, 38.4)  # 10 iterations per epoch
    assert (schedule.max_iter, schedule.steps) == (25, (5, 20))
    assert "2.5 epochs of 38 images (30 and their repetitions), steps after 0.5, 2" in schedule.describe()
    assert "Learning rate 0.005 (0.02 for a batch of 16)" in schedule.describe()


def test_off_by_default():
    node = load_config().SOLVER
    schedule = resolve_schedule(node)
    assert (schedule.max_iter, schedule.steps, schedule.base_lr) == (node.MAX_ITER, node.STEPS, node.BASE_LR)


@pytest.mark.parametrize("world_size", [1, 8, 16])
@pytest.mark.parametrize("rounding", ["stochastic", "ceil"])
def test_the_config_is_resolved_before_training(config_file, world_size, rounding):
    """Test that the config is resolved in place, equally for any number of GPUs. The result resolves to itself."""
    overrides = ["SOLVER.EPOCHS", "2.5", "SOLVER.STEP_EPOCHS", "[1]", "SOLVER.REFERENCE_BATCH_SIZE", "8"]
    overrides += ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "DATALOADER.REPEAT_THRESHOLD", "0.5"]
    overrides += ["MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_EPOCH", "1.5"]
    overrides += ["MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_EPOCH", "2.0"]
    cfg = load_config(str(config_file), [*overrides, "DATALOADER.REPEAT_ROUNDING", rounding])
    cfg.SOLVER.IMS_PER_BATCH = 16
    job = {"eval_only": False, "resume": False, "overwrite": False, "world_size": world_size}
    lr = cfg.SOLVER.BASE_LR
    schedule = Preflight(cfg, **job).job().schedule
    per_epoch = -(-schedule.images_per_epoch // 16)
    assert schedule.images_per_epoch > schedule.num_images == 24
    found = cfg.SOLVER
    resolved = (found.MAX_ITER, found.STEPS, found.BASE_LR)
    assert resolved == (round(2.5 * per_epoch), (per_epoch,), lr * 2)
    assert round(1.5 * per_epoch) == cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER
    assert 2 * per_epoch == cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_ITER
    resolved = cfg.dump()
    Preflight(cfg, **job).job()
    assert cfg.dump() == resolved


def test_an_epoch_has_the_images_that_are_drawn_in_it(config_file):
    options = ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "DATALOADER.REPEAT_THRESHOLD", "0.5"]
    cfg = load_config(str(config_file), options)
    register_datasets(cfg)
    records = load_training_dicts(cfg)
    factors = torch.tensor([max((record_factor(records, c) for c in categories(r)), default=1) for r in records])
    assert epoch_length(cfg, records) == pytest.approx(float(factors.sum()), rel=1e-6)
    cfg.DATALOADER.REPEAT_ROUNDING = "ceil"
    assert epoch_length(cfg, records) == float(factors.ceil().sum())
    cfg.DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
    assert epoch_length(cfg, records) == len(records)


def categories(record):
    return {item["category_id"] for item in record["annotations"]}


def record_factor(records, category):
    frequency = sum(category in categories(record) for record in records) / len(records)
    return max(1.0, (0.5 / frequency) ** 0.5)


def test_a_run_says_and_keeps_its_schedule(config_file):
    overrides = ["SOLVER.EPOCHS", "0.5", "SOLVER.REFERENCE_BATCH_SIZE", "8"]
    assert main(["--config-file", str(config_file), *overrides]) == 0
    run = config_file.parent / "run"
    assert "Schedule: 0.5 epochs of 24 images, steps after none: 3 iterations of 4 images, steps at none" in (
        run / "log.txt"
    ).read_text().replace("\n", " ")
    saved = yaml.safe_load((run / "config.yaml").read_text())["SOLVER"]
    assert (saved["MAX_ITER"], saved["STEPS"], saved["BASE_LR"]) == (3, [], 0.01)
    assert torch.load(run / "model_final.pth", weights_only=True)["iteration"] == 2


def test_the_learning_rate_falls_at_the_end_of_the_epoch():
    cfg = load_config("", [*TWO_TIMES, "SOLVER.WARMUP_ITERS", 0])
    schedule = resolve_schedule(cfg.SOLVER, 160, 160.0)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = schedule.max_iter, schedule.steps
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.02)
    scheduler = build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(schedule.max_iter):
        rates.append(round(optimizer.param_groups[0]["lr"], 6))
        optimizer.step()
        scheduler.step()
    assert rates == [0.02] * 160 + [0.002] * 60 + [0.0002] * 20


@pytest.mark.parametrize(("steps", "within"), [((2, 3), (2,)), ((3,), ()), ((2, 4, 9), (2,)), ((1, 2), (1, 2))])
def test_steps_at_the_end_and_behind_it_are_left_out(steps, within, caplog):
    cfg = load_config("", ["SOLVER.MAX_ITER", 3, "SOLVER.STEPS", steps])
    schedule = apply_schedule(cfg)
    assert schedule.steps == cfg.SOLVER.STEPS == within
    build_lr_scheduler(cfg, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.02))
    left = ", ".join(map(str, steps[len(within) :]))
    expected = [f"SOLVER.STEPS: ignoring {left}, because the training ends at iteration 3 (SOLVER.MAX_ITER)"]
    assert [record.getMessage() for record in caplog.records] == (expected if left else [])


def test_schedules_without_steps_do_not_look_at_them():
    cfg = load_config("", ["SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", "SOLVER.STEPS", (9, 3)])
    assert apply_schedule(cfg).steps == (9, 3)


@pytest.mark.parametrize("steps", [(3, 2), (2, 2), (0, 2), (-1,), ("two",)])
def test_steps_that_do_not_follow_each_other_are_named(steps):
    cfg = load_config("", ["SOLVER.STEPS", steps])
    with pytest.raises(ConfigError, match=r"SOLVER\.STEPS: expected increasing iterations above 0, found \["):
        apply_schedule(cfg)


@pytest.mark.parametrize("epochs", [[0.1], [1.2, 1.4]])
def test_parts_of_an_epoch_that_are_the_same_iteration_are_named(config_file, epochs):
    """Test errors for fractions of an epoch of 3 iterations that give iteration 0 or the same iteration."""
    cfg = load_config(str(config_file), ["SOLVER.EPOCHS", "2.0", "SOLVER.STEP_EPOCHS", epochs])
    cfg.SOLVER.IMS_PER_BATCH = 8
    register_datasets(cfg)
    with pytest.raises(ConfigError, match=r"SOLVER\.STEP_EPOCHS: expected increasing iterations above 0, .* epochs \["):
        apply_schedule(cfg, load_training_dicts(cfg))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["SOLVER.EPOCHS", -1.0], r"SOLVER\.EPOCHS: expected a finite number >= 0, found -1\.0"),
        (["SOLVER.EPOCHS", float("nan")], r"SOLVER\.EPOCHS: .*found nan"),
        (["SOLVER.REFERENCE_BATCH_SIZE", -16], r"SOLVER\.REFERENCE_BATCH_SIZE: expected at least 0, found -16"),
        (["SOLVER.STEP_EPOCHS", [22, 16]], r"SOLVER\.STEP_EPOCHS: .*found \[22, 16\]"),
        (["SOLVER.STEP_EPOCHS", [16, 24]], r"SOLVER\.STEP_EPOCHS: .*SOLVER\.EPOCHS 24, found \[16, 24\]"),
        (["SOLVER.STEP_EPOCHS", [0]], r"SOLVER\.STEP_EPOCHS"),
        (["SOLVER.STEP_EPOCHS", ["ten"]], r"SOLVER\.STEP_EPOCHS: expected increasing numbers"),
        (["SOLVER.REFERENCE_WORLD_SIZE", 8], r"SOLVER\.EPOCHS: expected 0 with SOLVER\.REFERENCE_WORLD_SIZE 8"),
        (
            ["SOLVER.EPOCHS", 0.0, "SOLVER.REFERENCE_BATCH_SIZE", 16, "SOLVER.REFERENCE_WORLD_SIZE", 8],
            r"SOLVER\.REFERENCE_BATCH_SIZE: expected 0",
        ),
        (
            ["MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_EPOCH", 24.0],
            r"CLS_LOSS\.PCB\.START_EPOCH: expected 0 or a number between 0 and SOLVER\.EPOCHS 24, found 24\.0",
        ),
        (["MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_EPOCH", -1.0], r"CLS_LOSS\.LDAM\.START_EPOCH: .*24, found -1\.0"),
        (
            ["MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_EPOCH", 1.0, "SOLVER.EPOCHS", 0.0],
            r"PCB\.START_EPOCH: .*START_ITER",
        ),
        (["DATALOADER.SAMPLER_TRAIN", "Other"], r"DATALOADER\.SAMPLER_TRAIN: .*TrainingSampler, .*found 'Other'"),
    ],
)
def test_wrong_values(overrides, message):
    def check():
        cfg = load_config("", [*TWO_TIMES, *overrides])
        scale_to_processes(cfg, 1)
        check_schedule(cfg)

    with pytest.raises(ConfigError, match=message):
        check()


def test_wrong_values_stop_the_command_line(config_file, capsys):
    overrides = ["SOLVER.EPOCHS", "2.0", "SOLVER.STEP_EPOCHS", "[3]"]
    assert main(["--config-file", str(config_file), *overrides]) == 2
    assert re.search(r"error: SOLVER\.STEP_EPOCHS", capsys.readouterr().err)
    assert not (config_file.parent / "run").exists()
