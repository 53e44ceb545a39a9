"""Hooks of ``make docs``: replace links that leave ``docs/`` by text, and choose where lines break in tables."""

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
    """Choose where lines break in tables.

    Names such as config keys may break after dots, slashes and underscores, and before capitals. A mean and its
    deviation, such as "1.2 ± 0.3", stay on one line.
    """

    def breakable(cell: re.Match) -> str:
        kept = cell[0].replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
        return _CELL_CODE.sub(lambda code: _BREAK.sub(r"\g<0><wbr>", code[0]), kept)

    return re.sub(r"<td\b.*?</td>", breakable, html, flags=re.DOTALL)
