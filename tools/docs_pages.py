"""Define hooks of MkDocs for ``make docs``. They replace links to files outside ``docs/``, and choose line breaks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CELL_CODE = re.compile(r"(?<=<code>)[^<]{13,}(?=</code>)")
_BREAK = re.compile(r"(::|[./_])(?=\w)|(?<=[a-z0-9])(?=[A-Z])")
_OPTION = re.compile(r"<code>(?=--[\w-]+( [A-Z]+)?</code>)")
_TOGETHER = re.compile(r" ± | (?=[¹²³])")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown, page, config, files):
    """Replace links to files outside ``docs/`` by their text, because the website does not contain these files."""
    docs = ROOT / "docs"
    folder = docs / Path(page.file.src_uri).parent

    def replace(match: re.Match) -> str:
        inside = (folder / match[3]).resolve().is_relative_to(docs)
        return match[0] if inside else match[2]

    return _LINK.sub(replace, markdown)


def on_page_content(html, page, config, files):
    """Choose the places where lines may break.

    Options such as ``--overwrite`` stay on one line. In tables, "1.2 ± 0.3" stays on one line, and a footnote mark does
    not separate from its text. Long names in tables, such as config keys, may break after dots, colons, slashes and
    underscores, and before capital letters.
    """

    def breakable(cell: re.Match) -> str:
        kept = _TOGETHER.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), cell[0])
        return _CELL_CODE.sub(lambda code: _BREAK.sub(r"\g<0><wbr>", code[0]), kept)

    html = _OPTION.sub('<code class="option">', html)
    return re.sub(r"<t[dh]\b.*?</t[dh]>", breakable, html, flags=re.DOTALL)
