"""Test that options for faster training keep the losses of 50 iterations, up to the rounding of each option."""

import json
import logging
import tempfile

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng

from seesaw_d2.data import register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.train import Trainer, load_config, main
from seesaw_d2.train.acceleration import accelerate, check_acceleration, check_compilation, set_implementation
from seesaw_d2.train.preflight.job_checks import Preflight
from tests.modeling.tiny import tiny_batch, tiny_config
from tests.train.faults import PLAIN
from tests.train.resumed_runs import TIMES

ITERATIONS = 50
TINY = [
    *("MODEL.SMALL_RESNET.WIDTHS", "[8, 12, 16]", "MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "16"),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", "8", "SOLVER.IMS_PER_BATCH", "2", "SOLVER.CHECKPOINT_PERIOD", "1000"),
    *("SOLVER.MAX_ITER", str(ITERATIONS), "SOLVER.BASE_LR", "0.005"),
]
FUSED = ["SOLVER.OPTIMIZER_IMPLEMENTATION", "fused"]
LATE = [*FUSED, "SOLVER.METRICS_PERIOD", "20"]
BFLOAT16 = ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16"]


def logged(config_file, *options):
    """Return the scalars of each iteration, without times."""
    assert main(["--config-file", str(config_file), "--overwrite", *PLAIN, *TINY, *options]) == 0
    lines = (config_file.parent / "run/metrics.json").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]


def total_losses(config_file, *options):
    """Return the losses of 50 iterations, an array (50,)."""
    cfg = load_config(str(config_file), [*PLAIN, *TINY, *options])
    with tempfile.TemporaryDirectory() as cfg.OUTPUT_DIR:
        return losses_of_run(cfg)


def digits_losses(*options):
    """Return the losses of an image classifier in 50 iterations, an array (50,)."""
    options = ["MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", str(ITERATIONS), "SOLVER.STEPS", "()", *PLAIN, *options]
    cfg = load_config("configs/digits/seesaw.yaml", ["SOLVER.EPOCHS", "0", "SOLVER.STEP_EPOCHS", "[]", *options])
    with tempfile.TemporaryDirectory() as cfg.OUTPUT_DIR:
        return losses_of_run(cfg)


def losses_of_run(cfg):
    Preflight(cfg).job()
    cfg.freeze()
    seed_all_rng(1)
    trainer = Trainer(cfg)
    trainer.train()
    losses = torch.tensor([value for value, _ in trainer.storage.history("total_loss").values()])
    assert len(losses) == ITERATIONS
    return losses


@pytest.mark.slow
def test_the_same_bits(config_file):
    """Test that the losses of a detector in 50 iterations are equal bit for bit."""
    plain = total_losses(config_file)
    assert plain[-10:].mean() < plain[:10].mean()  # the model learns
    for name in ("for-loop", "foreach"):
        assert torch.equal(total_losses(config_file, "SOLVER.OPTIMIZER_IMPLEMENTATION", name), plain), name
    assert torch.equal(total_losses(config_file, *LATE), total_losses(config_file, *FUSED))


ROUNDED = {
    "fused": FUSED,
    "channels last": ["MODEL.CHANNELS_LAST", "True"],
    "gradient of RoIAlign": ["MODEL.ROI_ALIGN_GRADIENT", "products"],
    "compiled": ["MODEL.COMPILE", "['backbone']"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUNDED)
def test_another_rounding(config_file, name):
    """Test options that change the rounding: the first two losses of a detector, and 50 losses of a classifier.

    Sums in another order change the last of the 24 bits of float32. A detector amplifies this change: its proposals
    are sampled by the order of their scores, so that the losses differ after a few iterations.
    """
    plain, found = total_losses(config_file), total_losses(config_file, *ROUNDED[name])
    torch.testing.assert_close(found[:2], plain[:2], rtol=1e-5, atol=0)
    plain, found = digits_losses(), digits_losses(*ROUNDED[name])
    torch.testing.assert_close(found, plain, rtol=1e-3, atol=0)


@pytest.mark.slow
def test_bfloat16():
    """Test bfloat16 (8 bits of precision): the losses of a classifier in 50 iterations."""
    plain, found = digits_losses(), digits_losses(*BFLOAT16)
    assert not torch.equal(found, plain)
    torch.testing.assert_close(found, plain, rtol=0.01, atol=0)


def test_metrics_that_are_told_late_are_the_same(config_file):
    """Test that late metrics are equal: medians after 20 and 40 iterations, and values after the last iteration."""
    early = logged(config_file, *FUSED, "SOLVER.MAX_ITER", "23")
    assert logged(config_file, *LATE, "SOLVER.MAX_ITER", "23") == early
    assert [line["iteration"] for line in early] == [19, 22]
    assert {"total_loss", "loss_mask", "fast_rcnn/class_accuracy"} <= early[0].keys()


def test_groups_of_the_optimizer_stay():
    cfg = tiny_config("SOLVER.BIAS_LR_FACTOR", "2.0")
    model = build_model(cfg)
    plain = Trainer.build_optimizer(cfg, model)
    cfg.SOLVER.OPTIMIZER_IMPLEMENTATION = "fused"
    fused = Trainer.build_optimizer(cfg, model)
    assert type(fused).__name__ == type(plain).__name__ == "SGDWithGradientClip"
    assert len(plain.param_groups) == len(fused.param_groups) > 1
    for ours, theirs in zip(fused.param_groups, plain.param_groups, strict=True):
        assert ours["fused"] is True
        assert [id(each) for each in ours.pop("params")] == [id(each) for each in theirs.pop("params")]
        assert {**ours, "fused": None, "foreach": None} == {**theirs, "fused": None, "foreach": None}


def test_an_optimizer_without_implementations():
    cfg = tiny_config(*FUSED)
    optimizer = torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])
    with pytest.raises(ConfigError, match=r'SOLVER\.OPTIMIZER_IMPLEMENTATION: expected "auto" .*LBFGS.* found'):
        set_implementation(optimizer, cfg)


def test_another_implementation_after_a_resume(config_file):
    """Test that a resumed run uses the optimizer implementation of the config, not that of the checkpoint."""
    command = ["--config-file", str(config_file), *PLAIN, *TINY]
    assert main([*command, "SOLVER.MAX_ITER", "1"]) == 0
    cfg = load_config(str(config_file), [*PLAIN, *TINY, *FUSED])
    cfg.freeze()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1
    assert all(group["fused"] for group in trainer._trainer.optimizer.param_groups)


def test_names_and_values_of_the_state_stay():
    plain, changed = (build_model(tiny_config()) for _ in range(2))
    changed.load_state_dict(plain.state_dict())
    accelerate(changed, tiny_config("MODEL.CHANNELS_LAST", "True", "MODEL.COMPILE", "['backbone']", *BFLOAT16))
    torch.testing.assert_close(changed.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert changed.backbone.bottom_up.stem.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_boxes_keep_their_precision_in_bfloat16():
    """Test that features stay float32 in bfloat16 autocast, because RoIAlign converts boxes to the same type."""
    model = accelerate(build_model(tiny_config(*BFLOAT16)), tiny_config(*BFLOAT16))
    images = model.preprocess_image(tiny_batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.backbone.fpn_lateral2(torch.zeros(1, 8, 4, 4)).dtype == torch.bfloat16
        features = model.backbone(images.tensor)
    assert {each.dtype for each in features.values()} == {torch.float32}


REFUSED = {
    "SOLVER.AMP.DTYPE": ("half", "float16, bfloat16, found 'half'"),
    "MODEL.ROI_ALIGN_GRADIENT": ("matmul", "torchvision, products, found 'matmul'"),
    "SOLVER.TF32": ("yes", "convolutions, all, none, found 'yes'"),
    "SOLVER.OPTIMIZER_IMPLEMENTATION": ("apex", "auto, for-loop, foreach, fused, found 'apex'"),
    "SOLVER.METRICS_PERIOD": ("3", "a divisor of 20.*found 3"),
    "MODEL.COMPILE": ("['neck']", "backbone, proposal_generator, roi_heads, found 'neck'"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_values_that_are_none(key):
    value, message = REFUSED[key]
    cfg = tiny_config(key, value)
    with pytest.raises(ConfigError, match=rf"{key}: expected .*{message}"):  # noqa: PT012 (one or the other)
        check_acceleration(cfg)
        check_compilation(cfg, build_model(cfg))


@pytest.mark.parametrize("options", [[], [*FUSED, "SOLVER.AMP.ENABLED", "True"]])
def test_metrics_are_told_late_by_a_kernel_that_can_leave_a_step_out(options):
    with pytest.raises(ConfigError, match=r"SOLVER\.METRICS_PERIOD: .*found 2"):
        check_acceleration(tiny_config("SOLVER.METRICS_PERIOD", "2", *options))


@pytest.mark.parametrize("fast", [False, True])
def test_emulated_bfloat16_is_warned_of(config_file, monkeypatch, fast):
    monkeypatch.setattr("seesaw_d2.train.acceleration.has_fast_bfloat16", lambda: fast)
    warnings = Preflight(load_config(str(config_file), [*PLAIN, *TINY, *BFLOAT16])).job().warnings
    assert any("SOLVER.AMP.ENABLED" in warning for warning in warnings) != fast


def test_float32_is_not_warned_of(config_file, monkeypatch):
    monkeypatch.setattr("seesaw_d2.train.acceleration.has_fast_bfloat16", lambda: False)
    assert Preflight(load_config(str(config_file), [*PLAIN, *TINY])).job().warnings == ()


def test_without_a_compiler(config_file, capsys, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    torch._dynamo.reset()
    assert main(["--config-file", str(config_file), *PLAIN, *TINY, "MODEL.COMPILE", "['backbone']"]) == 2
    error = capsys.readouterr().err
    assert "MODEL.COMPILE: " in error
    assert "a C++ compiler (g++)" in error
    assert not (config_file.parent / "run").exists()


def test_what_a_cpu_has_no_use_for_is_said(config_file, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("seesaw_d2"), "propagate", True)
    caplog.set_level(logging.INFO, "seesaw_d2")
    cfg = load_config(str(config_file), [*PLAIN, *TINY, "DATALOADER.PIN_MEMORY", "True", "SOLVER.TF32", "all"])
    cfg.freeze()
    register_datasets(cfg)
    Trainer(cfg)
    assert "DATALOADER.PIN_MEMORY " in caplog.text
    assert "SOLVER.TF32 all " in caplog.text


def test_what_a_gpu_has_no_use_for_is_said(config_file, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("seesaw_d2"), "propagate", True)
    caplog.set_level(logging.INFO, "seesaw_d2")
    options = ["MODEL.DEVICE", "cuda", "MODEL.ROI_ALIGN_GRADIENT", "products"]
    accelerate(torch.nn.Linear(1, 1), load_config(str(config_file), options))
    assert "MODEL.ROI_ALIGN_GRADIENT products" in caplog.text
