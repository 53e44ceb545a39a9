"""Crop the symbols of an annotated page of handwritten music, for classification.

Shapes: N is the number of crops. S is the side length of a crop in pixels.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from seesaw_d2.data.muscima.ink import PAPER, draw_page
from seesaw_d2.data.muscima.pages import Page, Symbol
from seesaw_d2.data.muscima.settings import CropSettings


def crop_page(page: Page, image: Path | None, settings: CropSettings) -> tuple[np.ndarray, list[str]]:
    """Crop each symbol of a page, except the symbols of the classes in ``settings.left_out``.

    A crop shows a square of the page, scaled to S x S pixels (S = ``settings.size``). The center of the square is the
    center of the symbol's box. The side of the square is ``settings.context`` times the longer side of the box. The
    square can contain parts of other symbols.

    Args:
        page: the annotated page.
        image: scanned image of the page in CVC-MUSCIMA. If None, draw the page from the masks of all symbols.
        settings: settings of the crops.

    Returns:
        the N crops as a uint8 array (N, S, S), and a list with the class name of each crop.
    """
    symbols = [symbol for symbol in page.symbols if symbol.category not in settings.left_out]
    crops = np.empty((len(symbols), settings.size, settings.size), dtype=np.uint8)
    if symbols:
        margin = math.ceil(max(_side(symbol, settings) for symbol in symbols))
        paper = Image.fromarray(np.pad(draw_page(page, image), margin, constant_values=PAPER))
        for index, symbol in enumerate(symbols):
            crops[index] = _crop(paper, margin, symbol, settings)
    return crops, [symbol.category for symbol in symbols]


def _side(symbol: Symbol, settings: CropSettings) -> float:
    """Return the side length of the square to crop around a symbol, in pixels of the page."""
    return settings.context * max(symbol.height, symbol.width)


def _crop(paper: Image.Image, margin: int, symbol: Symbol, settings: CropSettings) -> np.ndarray:
    half = _side(symbol, settings) / 2
    x, y = symbol.left + symbol.width / 2 + margin, symbol.top + symbol.height / 2 + margin
    box = (x - half, y - half, x + half, y + half)
    return np.asarray(paper.resize((settings.size, settings.size), Image.Resampling.BILINEAR, box=box))
