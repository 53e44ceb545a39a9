"""Test that the source archive and the wheel that ``make dist`` builds pass twine's check and can be installed."""

import os
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import seesaw_d2

ROOT = Path(__file__).parents[2]


def run(*command, cwd):
    result = subprocess.run([sys.executable, "-m", *map(str, command)], cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Return the source archive, and the wheel built from it."""
    for name in ("build", "twine"):
        if find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install -e '.[release]'")
    source, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, files.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    run("build", "--outdir", target, cwd=source)
    run("twine", "check", "--strict", *target.iterdir(), cwd=target)
    (sdist,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_the_source_archive_has_what_a_user_runs(archives):
    with tarfile.open(archives[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "train_net.py",
        "README.md",
        "CHANGELOG.md",
        "configs/quickstart/Base-glyphs.yaml",
        "docs/index.md",
        "Makefile",
        "tools/demo.py",
        "tools/doctor.py",
        "tools/install_detectron2.py",
        "datasets/prepare_export.py",
    } <= names
    assert not [name for name in names if name.startswith(("output", "datasets/glyphs", ".venv"))]


@pytest.mark.slow
def test_both_archives_work_without_the_checkout(archives, tmp_path):
    for archive in archives:
        folder = tmp_path / archive.suffix
        run("pip", "install", "--no-deps", "--target", folder, archive, cwd=tmp_path)
        env = {**os.environ, "PYTHONPATH": str(folder)}
        code = "import seesaw_d2; print(seesaw_d2.__file__, seesaw_d2.__version__, seesaw_d2.model_zoo.get_cfg)"
        code = f"import seesaw_d2.model_zoo; {code}; seesaw_d2.model_zoo.get_cfg('digits/ce.yaml')"
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(str(folder))
        assert seesaw_d2.__version__ in result.stdout
