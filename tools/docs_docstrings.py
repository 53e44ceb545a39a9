"""Change docstrings for ``make docs``: in Markdown, a description that starts with ">" would be a quotation."""

import re

import griffe


class EscapeQuotations(griffe.Extension):
    """Escape ">" at the start of descriptions."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*[\w, ]*: )>", r"\1\\>", obj.docstring.value, flags=re.MULTILINE)
