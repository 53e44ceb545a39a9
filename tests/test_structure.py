"""Test the direction of imports, including those inside functions, and the size of files and functions."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Package -> packages that it must not import, directly or through others.
FORBIDDEN = {
    "losses": {"data", "evaluation", "modeling", "predict", "report", "train"},
    "modeling": {"data", "evaluation", "predict", "report", "train"},
    "data": {"evaluation", "losses", "modeling", "predict", "report", "train"},
    "evaluation": {"losses", "modeling", "predict", "report", "train"},
    "train": {"export", "predict", "report"},
    "drawing": {"config", "data", "evaluation", "losses", "modeling", "predict", "report", "train", "utils", "weights"},
}
LONGEST_CHAIN, LONGEST_FILE, LONGEST_FUNCTION = 15, 250, 60


def module_name(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


PATHS = {module_name(path): path for path in sorted((ROOT / "seesaw_d2").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}


def _run_time_nodes(tree):
    """Yield the nodes of a module without those below ``if TYPE_CHECKING:``."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield node
            yield from _run_time_nodes(node)


def imported_modules(name):
    """Return the modules of the package that a module imports."""
    package = name.split(".") if PATHS[name].name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in _run_time_nodes(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {full if (full := f"{source}.{alias.name}") in PATHS else source for alias in node.names}
    return (found & PATHS.keys()) - {name}


IMPORTS = {name: imported_modules(name) for name in PATHS}


@cache
def longest_chain(name):
    """Return the longest chain of imports that starts at a module. A cycle ends in a RecursionError."""
    return (name, *max((longest_chain(other) for other in IMPORTS[name]), key=len, default=()))


def package_of(name):
    return name.split(".")[1] if "." in name else ""


def test_no_cycle_and_no_long_chain():
    longest = max(map(longest_chain, IMPORTS), key=len)
    assert len(longest) <= LONGEST_CHAIN, longest


@pytest.mark.parametrize("package", FORBIDDEN)
def test_direction(package):
    wrong = [
        (name, other)
        for name, others in IMPORTS.items()
        for other in others
        if package_of(name) == package and package_of(other) in FORBIDDEN[package]
    ]
    assert not wrong


SOURCES = [
    path
    for folder in ("seesaw_d2", "tools", "datasets", "benchmarks", "examples", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_files_are_short():
    assert not [path for path in SOURCES if len(path.read_text().splitlines()) > LONGEST_FILE]


def test_functions_are_short():
    assert not [
        (path, node.name)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
