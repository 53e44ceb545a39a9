"""Draw category names in Matplotlib figures without parsing formulas, and save figures with a mark of this project.

By default, Matplotlib parses text between dollar signs as a formula, and raises an error if the formula is invalid.
"""

from contextlib import AbstractContextManager

import matplotlib
from matplotlib.figure import Figure

# The metadata of all PNG and JPEG files that this project draws contain this text. Programs of this project overwrite
# only pictures with this text, so that no other picture of the user is lost.
PICTURE_MARK = "drawn by seesaw_d2"


def plain_text() -> AbstractContextManager[None]:
    """Return a context manager or decorator in which Matplotlib does not parse "$...$" in texts as a formula.

    Names that contain dollar signs are then drawn as they are.
    """
    return matplotlib.rc_context({"text.parse_math": False})


def save_figure(figure: Figure, path, dpi: int) -> None:
    """Write a figure to a file. The metadata of PNG and JPEG files say that this project drew the figure.

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
