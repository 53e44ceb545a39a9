"""What ``make docs`` does to the pages: README is the first one, and links to files of the repository become names."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)#]+)(#[^)]*)?\)")


def on_files(files, config):
    """Adds the first page."""
    text = _relink((ROOT / "README.md").read_text(encoding="utf-8"), ROOT)
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Takes links that lead out of ``docs/`` off; what they name stays."""
    if page.file.src_uri == "index.md":
        return markdown
    return _relink(markdown, ROOT / "docs" / Path(page.file.src_uri).parent)


def _relink(markdown: str, folder: Path) -> str:
    """The links of a page in ``folder``: README's into ``docs/`` are seen from there, others' stay as they were."""
    docs = ROOT / "docs"

    def replace(match: re.Match) -> str:
        image, text, target, anchor = match.groups()
        path = (folder / target).resolve()
        if not path.is_relative_to(docs):
            return text
        name = path.relative_to(docs).as_posix() if folder == ROOT else target
        return f"{image}[{text}]({name}{anchor or ''})"

    return _LINK.sub(replace, markdown)
