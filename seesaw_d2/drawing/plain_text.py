"""Draw text literally. By default matplotlib typesets text between dollar signs, and fails if this is not possible."""

from contextlib import AbstractContextManager

import matplotlib
from matplotlib.figure import Figure

# Marks the PNG and JPEG files of this project's figures. Files without it are not overwritten.
PICTURE_MARK = "drawn by seesaw_d2"


def plain_text() -> AbstractContextManager[None]:
    """Return a context manager (or decorator) in which new figures draw text literally."""
    return matplotlib.rc_context({"text.parse_math": False})


def save_figure(figure: Figure, path, dpi: int) -> None:
    """Write a figure. PNG and JPEG files are marked as this project's; the extension of ``path`` gives the format."""
    ending = str(path).rpartition(".")[2].lower()
    figure.savefig(
        path,
        dpi=dpi,
        metadata={"Description": PICTURE_MARK} if ending == "png" else None,
        pil_kwargs={"comment": PICTURE_MARK} if ending in ("jpg", "jpeg") else None,
    )
