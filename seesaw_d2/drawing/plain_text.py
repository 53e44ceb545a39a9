"""Draw the text of Matplotlib figures literally, and mark the pictures of this project.

By default, Matplotlib parses text between dollar signs as a formula, and raises an error if the formula is invalid.
"""

from contextlib import AbstractContextManager

import matplotlib
from matplotlib.figure import Figure

# Metadata of all PNG and JPEG files that this project draws. The programs of this project overwrite only pictures with
# this text.
PICTURE_MARK = "drawn by seesaw_d2"


def plain_text() -> AbstractContextManager[None]:
    """Return a context manager or decorator under which new figures draw text literally."""
    return matplotlib.rc_context({"text.parse_math": False})


def save_figure(figure: Figure, path, dpi: int) -> None:
    """Write a figure to a file, and add PICTURE_MARK to PNG and JPEG files.

    Args:
        figure: the figure.
        path: path of the file. The extension selects the file format.
        dpi: resolution in dots per inch.
    """
    ending = str(path).rpartition(".")[2].lower()
    figure.savefig(
        path,
        dpi=dpi,
        metadata={"Description": PICTURE_MARK} if ending == "png" else None,
        pil_kwargs={"comment": PICTURE_MARK} if ending in ("jpg", "jpeg") else None,
    )
