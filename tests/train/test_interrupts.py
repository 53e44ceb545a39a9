"""Test that ctrl-C during the import of PyTorch gives one line and exit status 130, without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# This module replaces PyTorch. It sends the signal in the middle of the import, and continues.
TORCH = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
print("was not cut short")
"""
PROGRAMS = {
    "train_net.py": ["--config-file", "digits/ce.yaml"],
    "lazyconfig_train_net.py": ["--config-file", "lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py"],
    "demo.py": ["--config-file", "digits/ce.yaml", "--input", "a.jpg", "--output", "out"],
    "datasets/prepare_glyphs.py": ["--root", "glyphs"],
    "datasets/prepare_export.py": ["a.json", "--output", "out"],
    "tools/demo.py": [],
    "tools/convert_mmdet_checkpoint.py": ["a.pth", "b.pth"],
    "tools/doctor.py": ["--config-file", "a.yaml"],
    "tools/export.py": ["--config-file", "a.yaml", "--format", "onnx", "--output", "a.onnx"],
    "tools/report.py": ["run"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_while_all_is_imported(program, tmp_path):
    (tmp_path / "torch.py").write_text(TORCH)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, ROOT / program, *PROGRAMS[program]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines() in (["interrupted"], ["interrupted before the job started"])
    assert done.stdout == "was not cut short\n"
    assert {path.name for path in tmp_path.iterdir()} <= {"torch.py", "__pycache__"}
