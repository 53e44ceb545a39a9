"""Write annotation files in the format of MUSCIMA++."""

from pathlib import Path

import numpy as np


def node(category, top, left, mask, number=0) -> str:
    """Return the XML of a symbol. ``mask`` is an array (H, W) of 0 and 1."""
    mask = np.atleast_2d(mask).astype(int)
    runs = " ".join(f"{value}:1" for value in mask.ravel())
    fields = {"Id": number, "ClassName": category, "Top": top, "Left": left, "Width": mask.shape[1]}
    fields |= {"Height": mask.shape[0], "Mask": runs}
    return "<Node>" + "".join(f"<{key}>{value}</{key}>" for key, value in fields.items()) + "</Node>"


def page(writer, number, *nodes) -> tuple[str, str]:
    """Return the name and the content of an annotation file."""
    name = f"CVC-MUSCIMA_W-{writer:02d}_N-{number:02d}_D-ideal"
    return f"{name}.xml", f'<?xml version="1.0" encoding="utf-8"?>\n<Nodes document="{name}">{"".join(nodes)}</Nodes>'


RING = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]])
BAR = np.ones((20, 2))
SPACE = np.ones((4, 40))


def three_pages() -> list[tuple[str, str]]:
    """Return pages by the writers 5 and 10, who belong to fold 0 of 5, and by writer 1."""
    common = [node("noteheadHalf", 2, 4, RING, 0), node("stem", 2, 30, BAR, 1), node("staffSpace", 10, 0, SPACE, 2)]
    staff = node("staff", 24, 0, np.ones((1, 40)), 3)
    return [
        page(1, 3, *common, staff, node("gClef", 4, 14, np.eye(6), 4), node("stem", 2, 30, BAR, 5)),
        page(5, 3, *common, staff, node("fClef", 4, 14, np.eye(6), 4)),
        page(10, 7, *common),
    ]


def write_source(folder: Path, pages=None, official="CVC-MUSCIMA_W-10_N-07_D-ideal") -> Path:
    """Write the pages in the layout of the published folder."""
    annotations = folder / "v2.0/data/annotations"
    annotations.mkdir(parents=True)
    (folder / "v2.0/specifications").mkdir()
    (folder / "v2.0/specifications/testset-independent.txt").write_text(f"{official}\n")
    for name, text in three_pages() if pages is None else pages:
        (annotations / name).write_text(text)
    return folder
