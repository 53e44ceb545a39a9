"""Escape ">" in docstrings for ``make docs``. Markdown renders a description that starts with ">" as a quotation."""

import re

import griffe


class EscapeQuotations(griffe.Extension):
    """Escape ">" at the start of a description, such as "gamma: > 0". This class is an extension of Griffe."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*[\w, ]*: )>", r"\1\\>", obj.docstring.value, flags=re.MULTILINE)
