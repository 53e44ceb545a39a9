"""Draw text literally. By default matplotlib typesets text between dollar signs, and fails if this is not possible."""

from contextlib import AbstractContextManager

import matplotlib
from matplotlib.figure import Figure

# Text in the PNG files of this project's figures, by which they are recognised.
PICTURE_MARK = "drawn by seesaw_d2"


def plain_text() -> AbstractContextManager[None]:
    """Return a context manager (or decorator) in which new figures draw text literally."""
    return matplotlib.rc_context({"text.parse_math": False})


def save_figure(figure: Figure, path, dpi: int) -> None:
    """Write a figure. A PNG file is marked as one of this project; the ending of ``path`` gives the format."""
    figure.savefig(path, dpi=dpi, metadata={"Description": PICTURE_MARK} if str(path).endswith(".png") else None)
