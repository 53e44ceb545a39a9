"""Programs replace and remove the files that they wrote, and no others."""

import os
import subprocess
import sys

import pytest

from seesaw_d2.errors import ConfigError
from seesaw_d2.report.rendering import check_page, render


def page() -> str:
    return render("base.html", title="t")


def test_tables_of_others_are_not_replaced(tmp_path):
    """And nothing is computed for them."""
    (tmp_path / "categories.csv").write_text("my,table")
    command = [sys.executable, "tools/evaluate_results.py", "--annotations", "none.json", "none.json"]
    done = subprocess.run([*command, "--output", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"error: {tmp_path}/categories.csv" in done.stderr
    assert (tmp_path / "categories.csv").read_text() == "my,table"


@pytest.mark.parametrize("make", [lambda path: path.write_text("my thesis"), os.mkdir, os.mkfifo], ids=str)
def test_a_report_replaces_only_reports(tmp_path, make):
    path = tmp_path / "report.html"
    check_page(str(path))
    path.write_text(page())
    check_page(str(path))
    link = tmp_path / "link.html"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match=r"link\.html"):
        check_page(str(link))
    path.unlink()
    make(path)
    with pytest.raises(ConfigError, match=r"report\.html"):
        check_page(str(path))
