"""Choose the shapes, sizes and positions of the objects in an image. The objects do not overlap."""

import math
from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.synthetic.alphabet import ALPHABETS
from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.silhouette import SUPERSAMPLE, Bend, Silhouette, draw_silhouette

MAX_ANGLE = math.radians(20)
MAX_ASPECT = MAX_SHEAR = 0.2
# Minimum distance in subpixels (quarters of a pixel) between the boxes of two objects, so that objects do not touch. At
# random positions, a box has the same minimum distance from the edge of the image. In a grid, this distance is half as
# large.
GAP = SUPERSAMPLE
PLACES = 60  # maximum number of random positions to try for an object
# Number of attempts to place all objects of an image at random positions. Each attempt draws new object sizes. If all
# attempts fail, the objects are placed in a grid.
RESIZES = 3


@dataclass(frozen=True)
class PlacedGlyph:
    """Object in a synthetic image: a drawn character or pair of characters at a position.

    Attributes:
        category: index of the category.
        silhouette: masks and polygons of the object.
        x, y: top left corner of the object's box in subpixels, which are 1 / ``SUPERSAMPLE`` of a pixel.
    """

    category: int
    silhouette: Silhouette
    x: int
    y: int

    def polygons(self) -> list[np.ndarray]:
        """Return the polygons of the object's mask, each an array (K, 2) float64: x, y of K corners in pixels.

        The coordinates are exact multiples of 1 / ``SUPERSAMPLE``, a quarter of a pixel.
        """
        corner = np.array([self.x, self.y])
        return [(polygon + corner) / SUPERSAMPLE for polygon in self.silhouette.polygons]


def lay_out(categories: np.ndarray, config: GlyphConfig, rng: np.random.Generator) -> list[PlacedGlyph]:
    """Choose random shapes, sizes and positions for the objects of one image, so that no two objects overlap.

    Args:
        categories: (M,) category index of each of the M objects.
        config: settings of the dataset.
        rng: random generator for shapes, sizes and positions.

    Returns:
        the M objects, in the order of ``categories``.
    """
    alphabet = ALPHABETS[config.alphabet]
    texts = [alphabet.text(int(category)) for category in categories]
    bends = [_random_bend(alphabet.fonts, rng) for _ in texts]
    low, high = (fraction * config.image_size for fraction in config.object_size)
    for _ in range(RESIZES):
        # Draw pairs of characters only in the upper half of the size range, because smaller pairs are not legible.
        sizes = [rng.uniform(low if len(text) == 1 else (low + high) / 2, high) for text in texts]
        shapes = _draw(texts, bends, sizes, config)
        places = _random_places(shapes, SUPERSAMPLE * config.image_size, rng)
        if places is not None:
            break
    else:
        # All attempts failed. A grid always has enough room, because GlyphConfig checks object_size.
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
    """Choose a random position for each object, at a distance from the earlier objects and the edge of the image.

    Args:
        shapes: silhouettes of the objects.
        side: side length of the image in subpixels.
        rng: random generator.

    Returns:
        the top left corner (x, y) of each object in subpixels. None if an object overlaps others at all ``PLACES``
        random positions.
    """
    taken = np.zeros((0, 4), dtype=np.int64)  # boxes x0, y0, x1, y1 of the objects that already have a position
    for shape in shapes:
        extent = np.array(shape.outline.shape[::-1])
        low = rng.integers(GAP, side - GAP - extent + 1, size=(PLACES, 2))[:, None]
        # Shape (PLACES, number of earlier boxes, 2): True if the new box and an earlier box are apart along x or along
        # y. Boxes that are apart along one axis do not overlap.
        clear = (low >= taken[:, 2:] + GAP) | (low + extent + GAP <= taken[:, :2])
        free = np.flatnonzero(clear.any(axis=2).all(axis=1))
        if len(free) == 0:
            return None
        place = low[free[0], 0]
        taken = np.concatenate([taken, [[*place, *(place + extent)]]])
    return [(int(x), int(y)) for x, y in taken[:, :2]]


def _grid_places(shapes, config: GlyphConfig, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Place each object at a random position in its own random cell of a square grid.

    Args:
        shapes: silhouettes of the objects.
        config: settings of the dataset.
        rng: random generator.

    Returns:
        the top left corner (x, y) of each object in subpixels.
    """
    cells_a_side = math.ceil(math.sqrt(config.max_objects))
    cell = SUPERSAMPLE * config.image_size // cells_a_side
    places = []
    for shape, index in zip(shapes, rng.permutation(cells_a_side**2), strict=False):
        room = cell - np.array(shape.outline.shape[::-1]) - GAP
        corner = np.array(divmod(index, cells_a_side)) * cell + GAP // 2
        x, y = corner + rng.integers(0, room + 1)
        places.append((int(x), int(y)))
    return places
