"""Test that benchmarks/choosing_agreement.py recomputes the values of τ in docs/choosing.md."""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def agreement(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import choosing_agreement

    yield choosing_agreement
    del sys.modules["choosing_agreement"]


def test_rankings(agreement):
    tool = {"held out, seed 0": {"AP": 1.0}, "held out, seed 1": {"AP": 4.0}, "test": {"AP": 2.0}}
    methods = {"a": {"full": {"AP": 5.0}, "tool": tool}, "b": {"full": {"AP": 6.0}, "tool": {"test": {"AP": 3.0}}}}
    found = agreement.columns_of(methods, "AP")
    assert found["test"] == {"a": 2.0, "b": 3.0}
    assert found["held out, mean"] == {"a": 2.5}


def test_the_page_has_the_numbers_of_the_file(agreement):
    """Test that the page has a row for each metric: τ of each seed on held-out images, and τ on the test images."""
    page = (FOLDER.parent / "docs/choosing.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[2:5]] for line in page.splitlines() if line.startswith("|")]
    names = {"classes": "mean of classes"}
    for content in json.loads((FOLDER / "choosing.json").read_text()).values():
        for metric in content["metrics"]:
            found = {}
            for ranking, tool in agreement.columns_of(content["methods"], metric).items():
                full = [content["methods"][name]["full"][metric] for name in tool]
                found[ranking] = f"{agreement.kendall(full, list(tool.values())):.2f}"
            held_out = ", ".join(found[f"held out, seed {seed}"] for seed in range(3))
            assert [names.get(metric, metric), held_out, found["test"]] in rows
