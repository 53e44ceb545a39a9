"""Hooks of ``make docs``: replace links that leave ``docs/`` by text, and allow line breaks in long names in tables."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CELL_CODE = re.compile(r"(?<=<code>)[^<]{13,}(?=</code>)")
_BREAK = re.compile(r"(::|[./_])(?=\w)|(?<=[a-z0-9])(?=[A-Z])")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown, page, config, files):
    """Replace links that leave ``docs/`` by their text."""
    docs = ROOT / "docs"
    folder = docs / Path(page.file.src_uri).parent

    def replace(match: re.Match) -> str:
        inside = (folder / match[3]).resolve().is_relative_to(docs)
        return match[0] if inside else match[2]

    return _LINK.sub(replace, markdown)


def on_page_content(html, page, config, files):
    """Allow line breaks in names in tables (config keys) after dots, slashes and underscores, and before capitals."""

    def breakable(cell: re.Match) -> str:
        return _CELL_CODE.sub(lambda code: _BREAK.sub(r"\g<0><wbr>", code[0]), cell[0])

    return re.sub(r"<td\b.*?</td>", breakable, html, flags=re.DOTALL)
