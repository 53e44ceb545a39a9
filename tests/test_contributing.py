"""Test the worked example in CONTRIBUTING.md: apply its steps to a copy of the project, and run its tests."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STEP = re.compile(r"^(?:\d\. |   )(Write|In) `([^`]+)`(.*?)^   ```\w*\n(.*?)^   ```$", re.MULTILINE | re.DOTALL)
# Files that the steps change, and files that the tests of the example read.
COPIED = ("seesaw_d2", "tests", "configs", "docs", "tools", "pyproject.toml")


def steps():
    """Return for each step of "Adding a loss": action, file, rest of the sentence, and code block."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## Adding a loss") : text.index("## Style")]
    return [(*found[:3], textwrap.dedent(found[3])) for found in STEP.findall(section)]


def follow(action, path, sentence, block):
    """Apply one step to a file."""
    if action == "Write":
        assert not path.exists()
        path.write_text(block)
    elif "at the end" in sentence:
        path.write_text(f"{path.read_text()}\n\n{block}")
    else:
        (text,) = re.findall(r"after the line with `([^`]+)`", sentence)
        lines = path.read_text().splitlines(keepends=True)
        (index,) = [index for index, line in enumerate(lines) if text in line]
        indent = re.match(" *", lines[index])[0]
        path.write_text("".join([*lines[: index + 1], textwrap.indent(block, indent), *lines[index + 1 :]]))


def run_tests(folder, *arguments):
    """Run pytest in a copy of the project. Return the number of passed tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return int(re.search(r"(\d+) passed", done.stdout).group(1))


def test_every_block_is_a_step():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## Adding a loss") : text.index("## Style")]
    assert len(steps()) == 10 == section.count("```") / 2


@pytest.fixture
def extended(tmp_path):
    """Return a copy of the project with the loss of the worked example."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    for action, path, sentence, block in steps():
        follow(action, tmp_path / path, sentence, block)
    return tmp_path


def test_the_worked_example_leaves_nothing_out(extended):
    """Test that the tests of lists of losses and keys pass, and that the linter passes."""
    tests = ["tests/config/test_loading.py", "tests/ecosystem/test_documents.py"]
    assert run_tests(extended, *tests, "-k", "list_of_keys or described or in_the_reference") > 100
    for command in (["check"], ["format", "--check"]):
        lint = [sys.executable, "-m", "ruff", *command, "--no-cache", "-q", "seesaw_d2", "tests"]
        done = subprocess.run(lint, cwd=extended, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_worked_example(extended):
    config = "tests/config/test_loading.py"
    tests = [
        "tests/losses/test_class_dependent_temperature.py",
        "tests/losses/test_contract.py",
        "tests/modeling/test_every_loss.py",
    ]
    names = "class_dependent or ClassDependent or CDT or test_each_key_is_read"
    assert run_tests(extended, *tests, config, "-k", names) > 40
