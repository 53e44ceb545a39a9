"""What ``make docs`` does to docstrings: a description such as ">= 0, a count" is no quotation in Markdown."""

import re

import griffe


class EscapeQuotations(griffe.Extension):
    """Escapes ">" where a description starts with it."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*[\w, ]*: )>", r"\1\\>", obj.docstring.value, flags=re.MULTILINE)
