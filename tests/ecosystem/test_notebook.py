"""Test that the tutorial runs from top to bottom, as it does on a hosted notebook, and holds no outputs."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks/tutorial.ipynb"


def test_no_outputs_are_stored():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def install(folder):
    """Run the first code cell in a folder without a checkout."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    source = "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))
    return subprocess.run([sys.executable, "-c", source], cwd=folder, capture_output=True, text=True)


def test_an_uploaded_source_archive_takes_the_place_of_a_checkout(tmp_path):
    refused = install(tmp_path)
    assert refused.returncode
    assert "seesaw_d2-*.tar.gz" in refused.stderr
    (tmp_path / "made/seesaw_d2-9.9/seesaw_d2").mkdir(parents=True)
    shutil.make_archive(str(tmp_path / "seesaw_d2-9.9"), "gztar", tmp_path / "made", "seesaw_d2-9.9")
    shutil.rmtree(tmp_path / "made")
    for _ in range(2):  # also after a restart
        found = install(tmp_path)
        assert found.stdout.split()[-1] == str(tmp_path / "seesaw_d2-9.9"), found.stderr


@pytest.mark.slow
def test_it_runs(monkeypatch):
    for name in ("nbclient", "nbformat", "ipykernel"):
        if find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install -e '.[notebook]'")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("ITERATIONS", os.environ.get("ITERATIONS", "40"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [json.dumps(cell.get("outputs", [])) for cell in notebook.cells]
    assert any("APr" in text for text in outputs)
    assert any("image/png" in text for text in outputs)
    assert any("SeesawLoss" in text and "rarest" in text for text in outputs)
