"""Rendering of the HTML reports."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def render(name: str, **context: Any) -> str:
    """Render a template of templates/."""
    loader = PackageLoader("seesaw_d2.report")
    environment = Environment(loader=loader, autoescape=select_autoescape(["html"]), undefined=StrictUndefined)
    return environment.get_template(name).render(context)
