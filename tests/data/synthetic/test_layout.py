"""Test the shapes and positions of glyphs, also with extreme settings."""

import math
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.ft2font import FT2Font

from seesaw_d2.data.synthetic import GlyphConfig
from seesaw_d2.data.synthetic.alphabet import ALPHABETS
from seesaw_d2.data.synthetic.annotations import polygon_area
from seesaw_d2.data.synthetic.config import CELL_MARGIN
from seesaw_d2.data.synthetic.layout import lay_out
from seesaw_d2.data.synthetic.silhouette import SUPERSAMPLE, Bend, draw_silhouette, trace

FONTS = sorted({(name, font) for name, alphabet in ALPHABETS.items() for font in alphabet.fonts})


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("image_size", [64, 100, 160])
@pytest.mark.parametrize("max_objects", [1, 4, 7, 16, 25])
def test_as_many_and_as_large_as_the_settings_allow(image_size, max_objects, alphabet):
    low = min(0.9, 1 / math.ceil(math.sqrt(max_objects)) / CELL_MARGIN)
    config = GlyphConfig(
        image_size=image_size, max_objects=max_objects, object_size=(low, 0.9),
        num_train_images=12_000, num_val_images=2700, alphabet=alphabet,
    )  # fmt: skip
    # single characters and pairs
    categories = np.arange(max_objects) + len(ALPHABETS[alphabet].characters) - 15
    for seed in range(3):
        objects = lay_out(categories, config, np.random.default_rng(seed))
        covered = np.zeros((SUPERSAMPLE * image_size,) * 2, dtype=int)
        for placed in objects:
            height, width = placed.silhouette.outline.shape
            window = covered[placed.y : placed.y + height, placed.x : placed.x + width]
            assert window.shape == (height, width)  # the window lies inside the image
            window += placed.silhouette.outline > 0
        assert covered.max() == 1
        assert [placed.category for placed in objects] == categories.tolist()


@pytest.mark.parametrize("font", sorted({font for _, font in FONTS}))
@pytest.mark.parametrize("text", ["A", "?", "J", "Ψ", "W&", "=", "i/"])
@pytest.mark.parametrize("image_size", [64, 128, 500])
def test_silhouette_has_the_size_asked_for(font, text, image_size):
    size = 0.3 * image_size
    shape = draw_silhouette(text, Bend(font, 0.3, -0.2, 0.2), size, image_size)
    assert max(shape.outline.shape) / SUPERSAMPLE == pytest.approx(size, abs=0.02 * size + 0.5)
    area = (shape.outline > 0).sum()
    # tolerance of half a subpixel along the edge, because polygons cut the corners of pixels
    edge = sum(cv2.arcLength(polygon, closed=True) for polygon in shape.polygons)
    assert sum(map(polygon_area, shape.polygons)) == pytest.approx(area, abs=edge / 2)
    assert (shape.face <= shape.outline).all()
    assert 0.1 < (shape.face > 0).sum() / area < 0.9


@pytest.mark.parametrize(("alphabet", "font"), FONTS)
def test_every_font_has_every_character(alphabet, font):
    path = Path(matplotlib.get_data_path(), "fonts/ttf", font)
    assert set(map(ord, ALPHABETS[alphabet].characters)) <= FT2Font(str(path)).get_charmap().keys()


def test_trace_runs_along_the_outer_edge():
    mask = np.zeros((30, 40), np.uint8)
    mask[0:10, 5:25] = 255
    (polygon,) = trace(mask)
    assert sorted(map(tuple, polygon.tolist())) == [(5, 0), (5, 10), (25, 0), (25, 10)]
