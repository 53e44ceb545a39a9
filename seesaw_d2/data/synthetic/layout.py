"""Choose the shapes, sizes and positions of the objects in an image. The objects do not overlap."""

import math
from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.synthetic.alphabet import ALPHABETS
from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.silhouette import SUPERSAMPLE, Bend, Silhouette, draw_silhouette

MAX_ANGLE = math.radians(20)
MAX_ASPECT = MAX_SHEAR = 0.2
# Minimum distance in subpixels between two boxes. The minimum distance between a box and the edge of the image is the
# same at random positions, and half of this distance in a grid.
GAP = SUPERSAMPLE
PLACES = 60  # number of random positions to try for an object
RESIZES = 3  # number of attempts to place objects at random positions, each with new random sizes


@dataclass(frozen=True)
class PlacedGlyph:
    """Object of a category at a position in an image. The object's top left corner is (x, y) in subpixels."""

    category: int
    silhouette: Silhouette
    x: int
    y: int

    def polygons(self) -> list[np.ndarray]:
        """Return the polygons of the glyph, each a float64 array (K, 2) of x, y in pixels.

        Coordinates are exact multiples of 1 / SUPERSAMPLE.
        """
        corner = np.array([self.x, self.y])
        return [(polygon + corner) / SUPERSAMPLE for polygon in self.silhouette.polygons]


def lay_out(categories: np.ndarray, config: GlyphConfig, rng: np.random.Generator) -> list[PlacedGlyph]:
    """Draw the shapes of the objects in one image, and choose the positions of the objects.

    Args:
        categories: (M,) category index of each of the M objects. The result has the same order.
        config: settings of the data set.
        rng: random generator for shapes, sizes and positions.
    """
    alphabet = ALPHABETS[config.alphabet]
    texts = [alphabet.text(int(category)) for category in categories]
    bends = [_random_bend(alphabet.fonts, rng) for _ in texts]
    low, high = (fraction * config.image_size for fraction in config.object_size)
    for _ in range(RESIZES):
        # Pairs of characters are legible only in the upper half of the size range.
        sizes = [rng.uniform(low if len(text) == 1 else (low + high) / 2, high) for text in texts]
        shapes = _draw(texts, bends, sizes, config)
        places = _random_places(shapes, SUPERSAMPLE * config.image_size, rng)
        if places is not None:
            break
    else:  # a grid always has room, because GlyphConfig checks object_size
        shapes = _draw(texts, bends, [low] * len(texts), config)
        places = _grid_places(shapes, config, rng)
    return [
        PlacedGlyph(int(category), shape, x, y)
        for category, shape, (x, y) in zip(categories, shapes, places, strict=True)
    ]


def _random_bend(fonts: tuple[str, ...], rng: np.random.Generator) -> Bend:
    font = fonts[rng.integers(len(fonts))]
    return Bend(font, *(rng.uniform(-1, 1, size=3) * [MAX_ANGLE, MAX_ASPECT, MAX_SHEAR]))


def _draw(texts, bends, sizes, config) -> list[Silhouette]:
    return [
        draw_silhouette(text, bend, size, config.image_size)
        for text, bend, size in zip(texts, bends, sizes, strict=True)
    ]


def _random_places(shapes, side: int, rng: np.random.Generator) -> list[tuple[int, int]] | None:
    """Return a random position (x, y) in subpixels for each shape, or None if a shape has no free position.

    For each shape, this function tries ``PLACES`` random positions.

    Args:
        shapes: silhouettes of the objects.
        side: side length of the image in subpixels.
        rng: random generator.
    """
    taken = np.zeros((0, 4), dtype=np.int64)  # x0, y0, x1, y1
    for shape in shapes:
        extent = np.array(shape.outline.shape[::-1])
        low = rng.integers(GAP, side - GAP - extent + 1, size=(PLACES, 2))[:, None]
        clear = (low >= taken[:, 2:] + GAP) | (low + extent + GAP <= taken[:, :2])  # (PLACES, taken, 2)
        free = np.flatnonzero(clear.any(axis=2).all(axis=1))
        if len(free) == 0:
            return None
        place = low[free[0], 0]
        taken = np.concatenate([taken, [[*place, *(place + extent)]]])
    return [(int(x), int(y)) for x, y in taken[:, :2]]


def _grid_places(shapes, config: GlyphConfig, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Place each shape in a random cell of a square grid. Return the positions (x, y) in subpixels."""
    cells_a_side = math.ceil(math.sqrt(config.max_objects))
    cell = SUPERSAMPLE * config.image_size // cells_a_side
    places = []
    for shape, index in zip(shapes, rng.permutation(cells_a_side**2), strict=False):
        room = cell - np.array(shape.outline.shape[::-1]) - GAP
        corner = np.array(divmod(index, cells_a_side)) * cell + GAP // 2
        x, y = corner + rng.integers(0, room + 1)
        places.append((int(x), int(y)))
    return places
