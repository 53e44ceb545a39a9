"""Render the HTML reports."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from seesaw_d2.utils.escaping import printable
from seesaw_d2.utils.own_files import check_replaceable

# Every report contains this text. A file without this text is not a report and must not be overwritten.
_MARK = "Made by seesaw_d2. This page needs no network."


def check_page(path: str) -> None:
    """Raise ConfigError if ``path`` exists and is not a report of this project."""
    check_replaceable(path, _MARK, "a report")


def render(name: str, **context: Any) -> str:
    """Return an HTML page: the template ``name`` in the folder templates/, filled with the variables ``context``."""
    loader = PackageLoader("seesaw_d2.report")
    environment = Environment(loader=loader, autoescape=select_autoescape(["html"]), undefined=StrictUndefined)
    return printable(environment.get_template(name).render(context))
