"""Test that every broken or hostile input gives an error that names the input, or a finite result."""

import re
from pathlib import Path

import pytest

from tests.robustness import (
    image_cases,
    json_cases,
    results_cases,
    resume_cases,
    run_cases,
    table_cases,
    weights_cases,
    yaml_cases,
)
from tests.robustness.corpus import attempt

KINDS = [json_cases, yaml_cases, image_cases, weights_cases, table_cases, results_cases, run_cases, resume_cases]
CASES = [(case, module.read) for module in KINDS for case in module.CASES]


@pytest.mark.parametrize(("case", "read"), CASES, ids=[f"{case.kind}: {case.name}" for case, _ in CASES])
def test_case(case, read, tmp_path):
    attempt(case, read, tmp_path)


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text()


def test_the_page_has_the_corpus_numbers():
    """Test that docs/reliability.md has the number of inputs and of valid inputs, in total and for each kind."""
    rows = [list(map(int, row)) for row in re.findall(r"^\|[^|]+\| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)]
    assert [sum(column) for column in zip(*rows, strict=True)] == [
        len(CASES),
        sum(case.expected is None for case, _ in CASES),
    ]
    assert f"**{len(CASES)} inputs**" in PAGE


@pytest.mark.parametrize("test", sorted(set(re.findall(r"`(tests/\S+?\.py::\w+)`", PAGE))))
def test_the_page_names_tests_that_are_there(test):
    path, name = test.split("::")
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
