"""Test image classification on the command line: training, evaluation, resuming, decoupled training, mistakes."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seesaw_d2.train import load_config, main
from seesaw_d2.train.preflight.config_checks import check_names
from seesaw_d2.train.preflight.schedule import resolve_schedule
from tests.data.classification.cifar_files import write_cifar

pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
ROOT = Path(__file__).parents[2]
DIGITS = ["MODEL.DEVICE", "cpu", "SOLVER.MAX_ITER", "3", "SOLVER.IMS_PER_BATCH", "8"]
RCNN = [
    *("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "MODEL.BACKBONE.NAME", "build_resnet_backbone"),
    *("MODEL.ROI_BOX_HEAD.NAME", "FastRCNNConvFCHead"),
]
IMAGENET = sorted((ROOT / "configs/imagenet_lt").glob("resnext50_*.yaml"))
OTHERS = sorted(ROOT.glob("configs/inaturalist18/*.yaml")) + sorted(ROOT.glob("configs/cifar_lt/*.yaml"))
OTHERS += sorted(ROOT.glob("configs/muscima/*crops*.yaml"))


def run(name: str, folder: Path, *arguments: str, flags=()) -> int:
    config = str(ROOT / f"configs/digits/{name}.yaml")
    return main(["--config-file", config, *flags, *DIGITS, "OUTPUT_DIR", str(folder), *arguments])


def results_of(folder: Path) -> dict:
    return json.loads((folder / "inference/digits_test/results.json").read_text())["classification"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "seesaw"
    assert run("seesaw", folder) == 0
    return folder


def test_trains_counts_and_evaluates(trained, tmp_path):
    assert set(results_of(trained)) == {"overall", "many", "medium", "few", "ECE"}
    state = torch.load(trained / "model_final.pth", weights_only=True)["model"]
    assert state["cls_loss.class_counts"].sum() == 3 * 8
    weights = ["MODEL.WEIGHTS", str(trained / "model_final.pth")]
    assert run("seesaw", tmp_path / "again", *weights, flags=["--eval-only"]) == 0
    assert results_of(tmp_path / "again") == results_of(trained)


def test_expected_results_are_checked_in_an_evaluation(trained, tmp_path):
    overall = results_of(trained)["overall"]
    weights = ["MODEL.WEIGHTS", str(trained / "model_final.pth"), "TEST.EXPECTED_RESULTS"]
    for value, status in ((overall, 0), (overall + 5, 1)):
        expected = f"[['classification', 'overall', {value}, 0.01]]"
        try:
            found = run("seesaw", tmp_path / "run", *weights, expected, flags=["--eval-only"])
        except SystemExit as ended:  # Detectron2 exits with SystemExit
            found = ended.code
        assert found == status


def test_resume(tmp_path):
    assert run("ce", tmp_path / "run") == 0
    assert run("ce", tmp_path / "run", "SOLVER.MAX_ITER", "5", flags=["--resume"]) == 0
    assert torch.load(tmp_path / "run/model_final.pth", weights_only=True)["iteration"] == 4


@pytest.mark.parametrize("sampler", ["SquareRootSampler", "ProgressivelyBalancedSampler"])
def test_samplers(tmp_path, sampler):
    assert run("ce", tmp_path / "run", "DATALOADER.SAMPLER_TRAIN", sampler) == 0


@pytest.mark.parametrize("method", ["crt", "lws", "seesaw_decoupled"])
def test_decoupled_training_leaves_the_backbone_alone(tmp_path, method):
    assert run("ce", tmp_path / "ce") == 0
    weights = tmp_path / "ce/model_final.pth"
    assert run(method, tmp_path / method, "MODEL.WEIGHTS", str(weights)) == 0
    before, after = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"] for name in ("ce", method)
    )
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("backbone."))
    changed = "classifier.weight_scaler" if method == "lws" else "classifier.weight"
    assert not torch.equal(after[changed], before.get(changed, torch.ones(10, 1)))


def test_class_means_are_the_nearest(tmp_path):
    """Test that the weights are the mean features, and that each mean feature has the highest score for its class."""
    assert run("ce", tmp_path / "ce") == 0
    config = str(ROOT / "configs/digits/ncm.yaml")
    source, output = tmp_path / "ce/model_final.pth", tmp_path / "ncm/model_final.pth"
    arguments = [str(source), str(output), "--config-file", config]
    tool = runpy.run_path(str(ROOT / "tools/nearest_class_mean.py"))["main"]
    assert tool([*arguments, "MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.CALIBRATION.TAU", "1.0"]) == 2  # without effect
    assert tool([*arguments, "MODEL.WEIGHTS", str(tmp_path / "other.pth")]) == 2  # it would replace the argument
    assert tool(arguments) == 0
    before, after = (torch.load(path, weights_only=True)["model"] for path in (source, output))
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("backbone."))
    assert not after["classifier.bias"].any()
    assert run("ncm", tmp_path / "ncm", "MODEL.WEIGHTS", str(output), flags=["--eval-only"]) == 0
    assert results_of(tmp_path / "ncm")["few"] > results_of(tmp_path / "ce")["few"]  # 0 after 3 iterations


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL.CLASSIFIER.NUM_CLASSES", "7"], "MODEL.CLASSIFIER.NUM_CLASSES"),
        (["MODEL.CLASSIFIER.BACKBONE", "resnet5"], "Did you mean resnet50?"),
        (["MODEL.CLASSIFIER.BACKBONE", "timm/resnet18x"], "timm"),
        (["MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "class"], "in an image classifier"),
        (["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "BalancedGroupSoftmaxLoss"], "found 'BalancedGroupSoftmaxLoss'"),
        (["INPUT.CLASSIFICATION.CROP", "paded"], "INPUT.CLASSIFICATION.CROP"),
        (["DATASETS.FREQUENCY_THRESHOLDS", "[100, 20]"], "DATASETS.FREQUENCY_THRESHOLDS"),
        (["DATASETS.TRAIN", "('digits_lt',)"], "called 'digits_lt'"),
        (["DATASETS.TEST", "('lvis_v1_val',)"], "DATASETS.TEST: expected classification datasets"),
        (RCNN, "MODEL.CLASSIFIER.NUM_CLASSES"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_turns_write_nothing(tmp_path, capsys, arguments, message):
    assert run("seesaw", tmp_path / "run", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "run").exists()


def make_images(folder: Path, names) -> list[dict]:
    """Write four images of noise for each name. Return a folder tree that is registered twice."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")
    return [{"NAME": f"{folder.parent.name}_{split}", "FOLDER": str(folder)} for split in ("train", "test")]


def on_images(register: list[dict], num_classes: int, folder: Path) -> list[str]:
    train, test = (entry["NAME"] for entry in register)
    return [
        *("MODEL.DEVICE", "cpu", "MODEL.CLASSIFIER.NUM_CLASSES", str(num_classes), "DATASETS.REGISTER", str(register)),
        *("DATASETS.TRAIN", str((train,)), "DATASETS.TEST", str((test,)), "INPUT.CLASSIFICATION.SIZE", "32"),
        *("SOLVER.EPOCHS", "0.0", "SOLVER.MAX_ITER", "2", "SOLVER.IMS_PER_BATCH", "4", "DATALOADER.NUM_WORKERS", "0"),
        *("OUTPUT_DIR", str(folder)),
    ]


def test_images_missing_broken_and_classes_without(tmp_path, capsys):
    register = make_images(tmp_path / "images", ["ant", "bee"])
    (tmp_path / "images/cow").mkdir()  # a class without images
    broken = tmp_path / "images/bee/0.png"
    broken.write_bytes(broken.read_bytes()[:50])
    overrides = on_images(register, 3, tmp_path / "run")
    config = ["--config-file", str(ROOT / "configs/digits/ce.yaml")]
    assert main([*config, *overrides]) == 2
    assert "0.png: " in capsys.readouterr().err
    assert main([*config, "--overwrite", *overrides, "DATALOADER.SKIP_BAD_IMAGES", "True"]) == 0
    listed = (tmp_path / "run" / f"inference/{register[1]['NAME']}/per_class.csv").read_text()
    assert "cow,0,few,0" in listed


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/cifar_lt/cifar*.yaml")), ids=lambda path: path.stem)
def test_the_published_recipe_of_cifar_lt(path):
    """Test the recipe of Cao et al.: 200 epochs, batch size 128, learning rate 0.1, two decays, LDAM-DRW from 160."""
    cfg = load_config(str(path))
    (train, test), node = cfg.DATASETS.REGISTER, cfg.MODEL.ROI_BOX_HEAD
    imbalance, classes = train["IMBALANCE"], cfg.MODEL.CLASSIFIER.NUM_CLASSES
    assert cfg.OUTPUT_DIR.endswith(path.stem)
    assert path.stem.startswith(f"cifar{classes}_lt{'' if imbalance == 100 else f'_if{imbalance}'}_")
    assert [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST] == [train["NAME"], test["NAME"]]
    folder = {10: "datasets/cifar-10-batches-py", 100: "datasets/cifar-100-python"}[classes]
    assert [entry["CIFAR"] for entry in cfg.DATASETS.REGISTER] == [folder, folder]
    images = {(10, 100): 12406, (10, 10): 20431, (100, 100): 10847, (100, 10): 19573}[classes, imbalance]
    schedule = resolve_schedule(cfg.SOLVER, images, images)
    epoch = schedule.iterations_per_epoch
    assert (schedule.max_iter, *schedule.steps) == (200 * epoch, 160 * epoch, 180 * epoch)
    assert cfg.SOLVER.WARMUP_ITERS / epoch == 5
    assert (schedule.base_lr, cfg.SOLVER.GAMMA, schedule.batch_size) == (0.1, 0.01, 128)
    if "ldam" in path.stem:
        assert node.CLS_LOSS.LDAM.START_EPOCH == 160
        assert node.CLS_LOSS.LDAM.SCALE == node.CLS_PREDICTOR.TEMPERATURE == 30


def test_cifar_lt_trains_on_cifars_own_files(tmp_path):
    write_cifar(tmp_path / "cifar")
    config = str(ROOT / "configs/cifar_lt/cifar10_lt_ldam_drw.yaml")
    register = [
        {"NAME": f"{tmp_path.name}_{s}", "CIFAR": str(tmp_path / "cifar"), "SPLIT": s} for s in ("train", "test")
    ]
    register[0]["IMBALANCE"] = 5
    overrides = on_images(register, 10, tmp_path / "run")
    size = overrides.index("INPUT.CLASSIFICATION.SIZE")
    del overrides[size : size + 2]
    assert main(["--config-file", config, *overrides, "MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_EPOCH", "0.0"]) == 0
    listed = (tmp_path / f"run/inference/{register[1]['NAME']}/per_class.csv").read_text()
    assert all(line in listed for line in ("a,10,few,2", "b,8,few,2", "j,2,few,2"))


def test_an_empty_split_is_named(tmp_path, capsys):
    (tmp_path / "images/ant").mkdir(parents=True)
    register = [{"NAME": f"{tmp_path.name}_{s}", "FOLDER": str(tmp_path / "images")} for s in ("train", "test")]
    config = ["--config-file", str(ROOT / "configs/digits/ce.yaml")]
    assert main([*config, *on_images(register, 1, tmp_path / "run")]) == 2
    assert "expected at least one image" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("path", [*IMAGENET, *OTHERS], ids=lambda path: path.stem)
def test_every_config_trains_two_steps(path, tmp_path):
    overrides = on_images(make_images(tmp_path / "images", ["ant", "bee"]), 2, tmp_path / "run")
    cfg = load_config(str(path), overrides)
    if cfg.MODEL.WEIGHTS:
        ce = load_config(str(path.parent / "resnext50_ce.yaml"), overrides)
        torch.save({"model": build(ce).state_dict()}, tmp_path / "ce.pth")
        overrides += ["MODEL.WEIGHTS", str(tmp_path / "ce.pth")]
    if cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_EPOCH:  # on_images sets EPOCHS to 0
        overrides += ["MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM.START_EPOCH", "0.0"]
    assert main(["--config-file", str(path), *overrides]) == 0
    assert (tmp_path / "run/model_final.pth").exists()


def build(cfg):
    from detectron2.modeling import build_model

    check_names(cfg)
    return build_model(cfg)


@pytest.mark.parametrize("path", IMAGENET, ids=lambda path: path.stem)
def test_recipes_resolve_to_the_papers_values(path):
    """Test section 4.4: ResNeXt-50, SGD, momentum 0.9, learning rate 0.2, batch size 512, cosine, 90 epochs, q = 1."""
    cfg = load_config(str(path))
    solver, box_head = cfg.SOLVER, cfg.MODEL.ROI_BOX_HEAD
    assert cfg.MODEL.CLASSIFIER.BACKBONE == "resnext50_32x4d"
    assert (solver.MOMENTUM, solver.BASE_LR, solver.IMS_PER_BATCH) == (0.9, 0.2, 512)
    assert (solver.LR_SCHEDULER_NAME, solver.WARMUP_ITERS) == ("WarmupCosineLR", 0)
    decoupled = {"resnext50_crt": 10, "resnext50_lws": 5, "resnext50_seesaw_decoupled": 10}
    epochs = decoupled.get(path.stem, 90)
    assert resolve_schedule(solver, 115846, 115846).max_iter == epochs * 227
    if path.stem in decoupled:
        assert cfg.MODEL.FREEZE.NAMES == ["*"]
        assert cfg.DATALOADER.SAMPLER_TRAIN == "ClassAwareSampler"
    if "seesaw" in path.stem:
        node = box_head.CLS_LOSS
        assert (node.NAME, node.SEESAW.P, node.SEESAW.Q) == ("SeesawLoss", 0.8, 1.0)
        assert (box_head.CLS_PREDICTOR.NAME, box_head.CLS_PREDICTOR.TEMPERATURE) == ("NormedLinear", 20.0)
