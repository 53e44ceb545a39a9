"""Test that the programs parse their arguments before they import PyTorch and Detectron2."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import seesaw_d2
from seesaw_d2.missing_packages import REQUIRED, exit_if_missing

ROOT = Path(__file__).parents[1]
PROGRAMS = [["train_net.py"], ["lazyconfig_train_net.py"], ["demo.py"], ["-m", "seesaw_d2"]]


@pytest.fixture
def no_heavy_imports(tmp_path):
    """Return an environment in which importing PyTorch or Detectron2 ends the process with status 99."""
    for name in ("torch", "detectron2", "numpy"):
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(99)\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda words: words[-1])
@pytest.mark.parametrize(("word", "status"), [("--help", 0), ("--num-gpus=many", 2)])
def test_help_and_usage_errors_import_nothing_heavy(program, word, status, no_heavy_imports):
    if program == ["demo.py"]:
        word = word.replace("--num-gpus", "--batch-size")
    command = [sys.executable, *program, word]
    result = subprocess.run(command, cwd=ROOT, env=no_heavy_imports, capture_output=True, text=True, timeout=60)
    assert result.returncode == status, result.stderr
    assert "--config-file" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train_net.py", "--config-file", "configs/digits"], "ce.yaml"),
        (["-m", "seesaw_d2", "--config-file", "configs/digits/cee.yaml"], "digits/ce.yaml"),
        (["-m", "seesaw_d2"], "--config-file"),
        (["train_net.py", "--config-file", "configs/digits/ce.yaml", "SEED"], "SEED"),
        (
            ["train_net.py", "--config-file", "configs/digits/ce.yaml", "SEED=2", "OUTPUT_DIR=a"],
            "as in SEED 2, found SEED=2",
        ),
        (["lazyconfig_train_net.py", "--config-file", "configs/lazy"], "mask_rcnn_R_50_FPN_rfs_seesaw_2x.py"),
        (["lazyconfig_train_net.py", "--config-file", "configs/digits/ce.yaml"], "configs/digits/ce.yaml"),
        (["demo.py", "--input", "a", "--output", "b", "--config-file", "configs/nowhere"], "configs/nowhere"),
    ],
)
def test_wrong_config_files_and_overrides_import_nothing_heavy(words, named, no_heavy_imports):
    result = subprocess.run([sys.executable, *words], cwd=ROOT, env=no_heavy_imports, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert named in result.stderr


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("torch", ["train_net.py", "--config-file", "configs/digits/ce.yaml"]),
        ("torch", ["lazyconfig_train_net.py", "--config-file", "configs/lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py"]),
        ("torch", ["demo.py", "--config-file", "configs/digits/ce.yaml", "--input", "a", "--output", "b"]),
        ("torch", ["-m", "seesaw_d2", "--config-file", "configs/digits/ce.yaml"]),
        ("torch", ["tools/doctor.py", "--config-file", "configs/digits/ce.yaml"]),
        ("yaml", ["tools/paper_tables.py"]),
    ],
    ids=str,
)
def test_a_missing_package_is_one_line(missing, words, tmp_path):
    (tmp_path / f"{missing}.py").write_text("raise ModuleNotFoundError(name=__name__)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1
    for part in (missing, "make setup", "pip install -e ."):
        assert part in result.stderr


def test_the_names_of_required_packages_are_import_names():
    assert all(map(importlib.util.find_spec, REQUIRED))


def test_modules_that_this_project_does_not_require_stay_errors():
    for name in ("no_such_module", "seesaw_d2.no_such_module", "torch.no_such_module"):
        with pytest.raises(ModuleNotFoundError), exit_if_missing():
            importlib.import_module(name)


def test_registering_again_changes_nothing():
    seesaw_d2.register()
    assert seesaw_d2.add_seesaw_config


def test_a_package_run_with_m_registers_when_it_imports_this_one(tmp_path):
    """Test ``python -m theirs``: sys.argv is ["-m"] while ``theirs/__init__.py`` imports seesaw_d2."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/__init__.py").write_text("import seesaw_d2\n")
    (tmp_path / "theirs/__main__.py").write_text(
        "from detectron2.modeling import ROI_HEADS_REGISTRY\nROI_HEADS_REGISTRY.get('SeesawROIHeads')\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "theirs"]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
