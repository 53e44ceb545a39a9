"""Test the output of ``--help``."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = [
    path for folder in (".", "tools", "datasets", "benchmarks", "examples") for path in ROOT.glob(f"{folder}/*.py")
]


def help_of(program, folder):
    done = subprocess.run([sys.executable, ROOT / program, "--help"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir())
    return done.stdout


@pytest.mark.parametrize(
    "program", [*PROGRAMS, ROOT / "seesaw_d2/arguments.py"], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_each_option_gives_its_default(program):
    """Test that the description of each option with a literal default contains the word "default"."""
    for call in (node for node in ast.walk(ast.parse(program.read_text())) if isinstance(node, ast.Call)):
        values = {keyword.arg: keyword.value for keyword in call.keywords}
        if {"default", "help"} <= values.keys() and isinstance(values["default"], (ast.Constant, ast.List)):
            described = isinstance(values["help"], ast.Name) or "default" in ast.unparse(values["help"])
            assert described or not ast.literal_eval(values["default"]), ast.unparse(call)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_lines_of_a_description_are_those_that_were_written(program):
    """Test the line breaks. In a string that is not raw, a backslash at the end of a line joins two lines."""
    first = ast.parse(program.read_text()).body[0]
    assert ast.literal_eval(first.value).count("\n") == first.end_lineno - first.lineno


def test_the_demo_explains_itself_and_does_nothing(tmp_path):
    assert "``make demo`` runs this program" in help_of("tools/demo.py", tmp_path)


def test_a_lazyconfigs_program_names_its_keys(tmp_path):
    """Test that the help of lazyconfig_train_net.py has no YAML keys, which Detectron2's examples contain."""
    shown = help_of("lazyconfig_train_net.py", tmp_path)
    assert not re.search(r"MODEL\.|SOLVER\.|OUTPUT_DIR", shown)
    assert "train.device=cpu" in shown
    assert "--eval-only train.init_checkpoint=output/model_final.pth" in shown
    assert "OUTPUT_DIR" in help_of("train_net.py", tmp_path)


# Programs that use tools/command_line.py.
TOOLS = [path for path in PROGRAMS if re.search(r"^(import|from) command_line", path.read_text(), re.M)]
WITHOUT_PYTORCH = """
import runpy, sys
sys.modules["torch"] = sys.modules["detectron2"] = None  # importing them raises ImportError
sys.argv = sys.argv[1:]
sys.path.insert(0, "tools")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("program", TOOLS, ids=lambda path: path.name)
def test_tools_parse_their_arguments_before_they_import_pytorch(program):
    """Test that tools parse arguments before they import PyTorch, because the import takes seconds."""
    for argument, status in (("--help", 0), ("--nonsense", 2)):
        command = [sys.executable, "-c", WITHOUT_PYTORCH, program, argument]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert "usage: " in done.stdout + done.stderr


@pytest.mark.parametrize("program", TOOLS, ids=lambda path: path.name)
def test_tools_import_the_package_before_detectron2(program):
    """Test the order of imports. The package hides PyTorch's deprecation warnings while it imports Detectron2."""
    modules = re.findall(r"^ *(?:from|import) (seesaw_d2|detectron2)\b", program.read_text(), re.M)
    assert modules[:1] in ([], ["seesaw_d2"])
