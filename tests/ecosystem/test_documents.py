"""Test the documentation: names and links, pages, output paths of commands, type hints, and CITATION.cff."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import seesaw_d2
from seesaw_d2 import evaluation, losses

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/api").glob("*.md"))
LINKED = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "benchmarks/*.md") for path in ROOT.glob(pattern)
)
SNIPPET = """
import torch
from seesaw_d2.losses import SeesawLoss
loss = SeesawLoss(3, p=0.5)
reveal_type(loss.forward(torch.zeros(1, 5), torch.zeros(1, dtype=torch.int64)))
reveal_type(loss.class_counts)
SeesawLoss(3, p="much")
"""


def documented():
    return [name for page in PAGES for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)]


@pytest.mark.parametrize("name", documented())
def test_what_the_reference_names_exists_and_is_described(name):
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError:
        module, attribute = name.rsplit(".", 1)
        found = getattr(importlib.import_module(module), attribute)
    assert found.__doc__


def test_every_loss_and_evaluator_is_in_the_reference():
    names = {name.rsplit(".", 1)[1] for name in documented()}
    assert set(losses.__all__) - {"LOSS_REGISTRY"} <= names
    assert {name for name in evaluation.__all__ if name.endswith("Evaluator")} <= names


def test_every_guide_is_in_the_menu():
    text, index = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs/index.md").read_text()
    for path in [*(ROOT / "docs").glob("*.md"), *PAGES]:
        name = path.relative_to(ROOT / "docs").as_posix()
        assert f": {name}\n" in text
        assert f"]({name})" in index or name == "index.md"


def prose(path):
    """Return a page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(path):
    """Return the anchors of a page's headings."""
    found = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for name, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)#?([^)\s]*)\)", prose(page)):
        target = page.parent / name if name else page
        assert target.exists()
        assert not anchor or anchor in headings(target)


def test_source_files_and_tests_that_guides_name_exist():
    """Test paths of source files and names of tests in backticks. Shorter paths may omit the folder seesaw_d2/."""
    sources = {
        path: path.read_text() for part in ("seesaw_d2", "tests", "tools") for path in (ROOT / part).rglob("*.py")
    }
    for page in (ROOT / "docs").glob("*.md"):
        for name, test in re.findall(r"`(\w[\w/]*/\w+\.py)(?:::(\w+))?`", prose(page)):
            texts = [text for path, text in sources.items() if path.as_posix().endswith(f"/{name}")]
            assert texts or (ROOT / name).is_file(), f"{page.name}: {name}"
            assert not test or any(f"def {test}(" in text for text in texts), f"{page.name}: {name}::{test}"


# Patterns of output files: a second argument, --output, and here-documents.
WRITTEN = [
    r"tools/(?:convert_\w+|tau_normalize|nearest_class_mean|record_class_counts)\.py\s+[\w./:-]+\s+([\w./-]+)",
    r"python .*--output ([\w./-]+)",
    r"cat > (\S+)",
]


def test_what_commands_write_is_not_git_s():
    """Test that the commands in guides and --help write only files that git ignores."""
    patterns = ("*.md", "*.py", "*/*.md", "*/*.py", "examples/*/*.py")
    paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
    found = set()
    for path in paths:
        text = re.sub(r"\\\n\s*", "", path.read_text())
        if path.suffix == ".md":
            text = "\n".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL))
        found |= {(path.name, name) for pattern in WRITTEN for name in re.findall(pattern, text)}
    assert len(found) > 15
    assert [each for each in sorted(found) if not re.match("output/|datasets/.*/", each[1] + "/")] == []
    assert {"output/", "/datasets/*/"} <= set((ROOT / ".gitignore").read_text().splitlines())


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path):
    if find_spec("mkdocs") is None or find_spec("mkdocstrings") is None:
        pytest.skip("needs the extra docs (pip install -e .[docs])")
    for name in ("docs", "tools", "seesaw_d2", "mkdocs.yml", "README.md"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # hide the notice of the theme about MkDocs 2
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    assert "mitigation" in (tmp_path / "site/api/losses/index.html").read_text()
    assert 'href="own-data/' in (tmp_path / "site/index.html").read_text()
    for page in (tmp_path / "site").rglob("index.html"):
        assert not re.search(r"^(- |\||```)", page.read_text(), re.MULTILINE)  # not rendered


@pytest.mark.slow
def test_types_reach_other_programs(tmp_path):
    """Test py.typed: a type checker knows the return types of a loss, and reports a wrong argument."""
    if find_spec("mypy") is None:
        pytest.skip("needs the extra dev (pip install -e .[dev])")
    (tmp_path / "use.py").write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", "use.py"]
    environment = {"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout
    assert 'Revealed type is "dict[str, torch._tensor.Tensor]"' in printed.replace("builtins.", "")
    assert 'Revealed type is "torch._tensor.Tensor"' in printed
    assert 'use.py:7: error: Argument "p"' in printed


def test_citation():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["version"] == seesaw_d2.__version__
    paper = json.dumps(found["preferred-citation"])
    assert "Wang" in paper
    assert "2008.10032" in paper
