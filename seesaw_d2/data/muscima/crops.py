"""Crop the symbols of a page.

Shapes: N crops, S is their side length in pixels.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from seesaw_d2.data.muscima.ink import PAPER, draw_page
from seesaw_d2.data.muscima.pages import Page, Symbol
from seesaw_d2.data.muscima.settings import CropSettings


def crop_page(page: Page, image: Path | None, settings: CropSettings) -> tuple[np.ndarray, list[str]]:
    """Return crops of the symbols of a page, (N, S, S) uint8, and their categories.

    A crop is a square centred on the symbol's box whose side is ``settings.context`` times the box's longer side,
    scaled to S. It contains all ink in this square.

    Args:
        image: see ``draw_page``.
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
    """Return the side length of the square in pixels of the page."""
    return settings.context * max(symbol.height, symbol.width)


def _crop(paper: Image.Image, margin: int, symbol: Symbol, settings: CropSettings) -> np.ndarray:
    half = _side(symbol, settings) / 2
    x, y = symbol.left + symbol.width / 2 + margin, symbol.top + symbol.height / 2 + margin
    box = (x - half, y - half, x + half, y + half)
    return np.asarray(paper.resize((settings.size, settings.size), Image.Resampling.BILINEAR, box=box))
