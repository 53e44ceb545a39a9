"""Create the image of a page of handwritten music from the scan in CVC-MUSCIMA, or from the annotated masks."""

import math
import re
from pathlib import Path

import numpy as np
from PIL import Image

from seesaw_d2.data.muscima.pages import MAX_SIDE, Page
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.messages import first_few, reason

PAPER = 255
DRAWN = "drawn from the union of the annotated masks, staff lines included; not the scanned pages"
SCANNED = "the pages of CVC-MUSCIMA (Fornés et al., IJDAR 15(3), 2012)"
# Symbols of these classes are not drawn, because they contain no ink. The mask of a staff space covers the white paper
# between two staff lines.
_NOT_INK = ("staffSpace",)
# Match the paths of page images. Group 1 is the number of the writer, and group 2 the number of the page. _PAGE_FILE
# matches the paths in the archives of CVC-MUSCIMA: .../ideal/w-05/image/p011.png for staff removal, and
# .../w-05/p011.png for writer identification. _NAMED_FILE matches names like those of MUSCIMA++'s annotation files.
_PAGE_FILE = re.compile(r"(?:^|/)w-(\d+)/(?:image/)?p(\d+)\.png$")
_NAMED_FILE = re.compile(r"(?:^|/)CVC-MUSCIMA_W-(\d+)_N-(\d+)_D-ideal\.png$")


def find_images(folder: Path) -> dict[tuple[int, int], Path]:
    """Find the scanned page images of CVC-MUSCIMA in a folder and its subfolders.

    CVC-MUSCIMA can contain several images of a page. If one of them is in a folder named "ideal", it is the undistorted
    image, and is chosen.

    Returns:
        the image file of each page. The keys are (number of the writer, number of the page).

    Raises:
        ConfigError: the folder does not exist or contains no page image.
        DataError: the folder contains several images of a page, and not exactly one of them is in a folder "ideal".
    """
    if not folder.is_dir():
        raise ConfigError(f"--images: expected a folder of page images, found no folder at {folder}")
    found: dict[tuple[int, int], list[Path]] = {}
    for path in sorted(folder.rglob("*.png")):
        text = path.relative_to(folder).as_posix()
        match = _PAGE_FILE.search(text) or _NAMED_FILE.search(text)
        if match:
            found.setdefault((int(match[1]), int(match[2])), []).append(path)
    if not found:
        raise ConfigError(
            f"--images: expected page images such as w-05/image/p011.png, found no page image below {folder}"
        )
    return {key: _best(paths) for key, paths in found.items()}


def _best(paths: list[Path]) -> Path:
    ideal = [path for path in paths if "ideal" in path.parts] or paths
    if len(ideal) > 1:
        raise DataError(
            f"--images: expected one image per page, found {len(ideal)} images of a page: {first_few(ideal)}. Keep "
            "only one of them."
        )
    return ideal[0]


def draw_page(page: Page, image: Path | None = None) -> np.ndarray:
    """Return the image of a page with black ink (0) on white paper (255), a uint8 array (H, W).

    H is the height and W is the width of the page in pixels.

    Args:
        page: the annotated page.
        image: scanned image of the page in CVC-MUSCIMA, black on white or white on black. If None, draw the masks of
            all symbols in black.

    Raises:
        DataError: the image cannot be read, or is smaller than the annotated page.
    """
    return _union(page) if image is None else _scan(page, image)


def _union(page: Page) -> np.ndarray:
    picture = np.full(page.size, PAPER, dtype=np.uint8)
    for symbol in page.symbols:
        if symbol.category not in _NOT_INK:
            window = picture[symbol.top : symbol.top + symbol.height, symbol.left : symbol.left + symbol.width]
            window[symbol.mask] = 0
    return picture


def _scan(page: Page, image: Path) -> np.ndarray:
    try:
        with Image.open(image) as file:
            if max(file.size) > MAX_SIDE:
                found = f"{file.width} x {file.height}"
                raise DataError(f"{image}: expected a width and height of at most {MAX_SIDE} pixels, found {found}")
            picture = np.asarray(file.convert("L"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{image}: cannot decode this image ({reason(error)})") from None
    height, width = page.size
    if picture.shape[0] < height or picture.shape[1] < width:
        raise DataError(
            f"{image}: expected an image of at least {width} x {height} pixels, found {picture.shape[1]} x "
            f"{picture.shape[0]} pixels. The annotated symbols of page {page.name} need this size."
        )
    return picture if picture.mean() > PAPER / 2 else PAPER - picture


def scaled(picture: np.ndarray, scale: float, top: int = 0, left: int = 0) -> tuple[np.ndarray, int, int]:
    """Downscale a part of a page, such as the mask of a symbol, by area averaging.

    The result has the same pixel grid as the downscaled page, so that masks and page stay aligned.

    Args:
        picture: part of the page, a uint8 array (height, width). Pixels outside the part count as 0.
        scale: scale factor in (0, 1].
        top, left: position of the part's top left corner on the page in pixels.

    Returns:
        the downscaled part as a uint8 array, and the top and left position of the part on the downscaled page.
    """
    if scale == 1:
        return picture, top, left
    margin = math.ceil(1 / scale)
    height, width = picture.shape
    y0, x0 = math.floor(top * scale), math.floor(left * scale)
    y1, x1 = math.ceil((top + height) * scale), math.ceil((left + width) * scale)
    padded = Image.fromarray(np.pad(picture, margin))
    box = (x0 / scale - left + margin, y0 / scale - top + margin, x1 / scale - left + margin, y1 / scale - top + margin)
    # Clip the box. Rounding errors can move it slightly outside of the image, and Pillow refuses such boxes.
    box = (*box[:2], min(box[2], padded.width), min(box[3], padded.height))
    return np.asarray(padded.resize((x1 - x0, y1 - y0), Image.Resampling.BOX, box=box)), y0, x0
