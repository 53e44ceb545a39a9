"""Test that errors of the set-up contain instructions."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import bootstrap
import pytest

SCRIPT = Path(bootstrap.__file__)


def test_a_folder_that_is_no_environment_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    result = subprocess.run([sys.executable, str(SCRIPT), "--venv", str(tmp_path)], capture_output=True, text=True)
    assert result.returncode == 1
    assert "VENV=" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_full_disk_is_seen_before_the_download(tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e9))
    with pytest.raises(bootstrap.SetupError, match=r" 8 GB .* 1\.0 GB"):
        bootstrap.check_disk(tmp_path)


@pytest.mark.parametrize(("version", "refused"), [("2.8.0+cu128", True), (bootstrap.TORCH[0][7:], False)])
def test_a_pytorch_of_ones_own_without_torchvision_is_kept(tmp_path, monkeypatch, version, refused):
    (tmp_path / "torch.py").write_text(f"__version__ = {version!r}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if refused:
        with pytest.raises(bootstrap.SetupError, match="torchvision"):
            bootstrap.refuse_foreign_torch(sys.executable)
    else:
        bootstrap.refuse_foreign_torch(sys.executable)


def test_without_pytorch_it_is_installed(monkeypatch):
    monkeypatch.setattr(bootstrap, "has", lambda python, code: False)
    bootstrap.refuse_foreign_torch(sys.executable)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Failed to establish a new connection: [Errno -2]", "could not be reached"),
        ("ERROR: Could not find a version (from versions: none)", "could not be reached"),
        ("something else", "above"),
    ],
)
def test_pips_failures_are_explained(output, cause, capsys):
    with pytest.raises(bootstrap.SetupError, match=f"PyTorch failed: .*{cause}"):
        bootstrap.run([sys.executable, "-c", f"print({output!r}); raise SystemExit(1)"], "PyTorch")
    assert output in capsys.readouterr().out  # the output of pip is shown


def test_old_python_is_named(monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 8, 1))
    monkeypatch.setattr(bootstrap.sys, "argv", ["bootstrap.py"])
    assert bootstrap.main() == 1
    assert "Python 3.10" in capsys.readouterr().err


def test_finished_set_up_is_not_repeated(tmp_path, monkeypatch):
    stamp, expected = bootstrap.stamp_of(tmp_path)
    stamp.write_text(expected)
    monkeypatch.setattr(bootstrap, "make_environment", lambda venv: sys.executable)
    monkeypatch.setattr(bootstrap, "run", lambda *a: pytest.fail("nothing is to be run"))
    bootstrap.set_up(tmp_path)


def test_a_set_up_ends_with_how_to_use_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "make_environment", lambda venv: sys.executable)
    monkeypatch.setattr(bootstrap, "run", lambda *a: None)
    monkeypatch.setattr(bootstrap, "has", lambda python, code: True)
    bootstrap.set_up(tmp_path)
    assert capsys.readouterr().out.endswith(f"source {tmp_path}/bin/activate\n")
