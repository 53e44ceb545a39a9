"""Escape docstrings for ``make docs``, because in Markdown a description that starts with ">" is a quotation."""

import re

import griffe


class EscapeQuotations(griffe.Extension):
    """Escape ">" at the start of descriptions."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*[\w, ]*: )>", r"\1\\>", obj.docstring.value, flags=re.MULTILINE)
