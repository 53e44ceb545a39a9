"""Hooks of ``make docs`` that replace links out of ``docs/`` by plain text, because the site lacks their targets."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)#]+)(#[^)]*)?\)")


def on_page_markdown(markdown, page, config, files):
    """Replace links that leave ``docs/`` with their text."""
    docs = ROOT / "docs"
    folder = docs / Path(page.file.src_uri).parent

    def replace(match: re.Match) -> str:
        inside = (folder / match[3]).resolve().is_relative_to(docs)
        return match[0] if inside else match[2]

    return _LINK.sub(replace, markdown)
