"""Test that the tutorial runs from top to bottom, as it does on a hosted notebook, and holds no outputs."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks/tutorial.ipynb"


def test_no_outputs_are_stored():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


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
