"""CONTRIBUTING's worked example works: its blocks are applied to a copy of the project, and its tests are run."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STEP = re.compile(r"^\d\. (Write|Append to|In) `([^`]+)`(.*?)^   ```\w+\n(.*?)^   ```$", re.MULTILINE | re.DOTALL)


def steps():
    """Of each step of "Adding a loss": what to do, with which file, the rest of its sentence, the block."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## Adding a loss") : text.index("## Style")]
    return [(*found[:3], textwrap.dedent(found[3])) for found in STEP.findall(section)]


def follow(action, path, sentence, block):
    """Do what one step says."""
    if action == "Write":
        assert not path.exists()
        path.write_text(block)
    elif action == "Append to":
        path.write_text(path.read_text() + block)
    else:
        (function,) = re.findall(r"at the end of `(\w+)`", sentence)
        head, body = re.split(rf"(?=^def {function}\()", path.read_text(), flags=re.MULTILINE)
        definition, rest = body.split("\n\n\n", 1)
        path.write_text(f"{head}{definition}\n\n{textwrap.indent(block, '    ')}\n\n{rest}")


def test_every_block_is_a_step():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## Adding a loss") : text.index("## Style")]
    assert len(steps()) == 6 == section.count("```") / 2


@pytest.mark.slow
def test_the_worked_example(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("seesaw_d2", "tests", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for action, path, sentence, block in steps():
        follow(action, tmp_path / path, sentence, block)
    tests = [
        "tests/losses/test_logit_adjusted.py",
        "tests/losses/test_contract.py",
        "tests/modeling/test_every_loss.py",
        "tests/engine/test_config.py::test_every_yaml_builds",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    command += ["-k", "logit_adjusted or LogitAdjusted"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) > 40
    written = [path for action, path, _, _ in steps() if action == "Write" and path.endswith(".py")]
    lint = [sys.executable, "-m", "ruff", "check", "-q", *written]
    assert subprocess.run(lint, cwd=tmp_path).returncode == 0
