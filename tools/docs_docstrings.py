"""Escape docstrings for ``make docs``. Markdown would turn a description that starts with ">" into a quotation."""

import re

import griffe


class EscapeQuotations(griffe.Extension):
    """Griffe extension that escapes ">" at the start of a description, such as "gamma: > 0"."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*[\w, ]*: )>", r"\1\\>", obj.docstring.value, flags=re.MULTILINE)
