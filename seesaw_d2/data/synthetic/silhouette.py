"""Create the shape of an object: draw a character with a font, distort it, add a border, and trace its polygons.

Masks and polygons have a resolution of SUPERSAMPLE × SUPERSAMPLE subpixels per image pixel.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SUPERSAMPLE = 4
# Width of the border around a character as a fraction of the image's side. In an image of 128 x 128 pixels, the border
# is 2 pixels wide.
BORDER = 1 / 64
# Maximum distance between the simplified polygons and the exact contour, in subpixels (quarters of a pixel).
POLYGON_TOLERANCE = 1.0


@dataclass(frozen=True)
class Bend:
    """Font and distortion with which a character (or a pair of characters) is drawn.

    Attributes:
        font: name of a font file in Matplotlib's folder ``fonts/ttf``.
        angle: rotation in radians.
        aspect: relative change of the width. For example, 0.2 makes the character 20 % wider.
        shear: horizontal shift per unit of height, as in italics. 0 keeps vertical lines vertical.
    """

    font: str
    angle: float
    aspect: float
    shear: float

    def matrix(self) -> np.ndarray:
        """Return the matrix (2, 2) float64 that maps points (x, y) of the character to distorted points."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]]) @ [[1 + self.aspect, self.shear], [0, 1]]


@dataclass(frozen=True)
class Silhouette:
    """Masks and polygons of an object, cropped to the object's box of h × w subpixels.

    An object is a drawn character (glyph) with a border around it.

    Attributes:
        outline: (h, w) uint8, 255 inside the object and 0 outside. The object consists of the glyph, the border, and
            the filled holes of the glyph.
        face: (h, w) uint8, 255 inside the glyph and 0 outside.
        polygons: contours of ``outline``, each an int array (K, 2): x, y of K corners in subpixels, relative to the top
            left corner of the box.
    """

    outline: np.ndarray
    face: np.ndarray
    polygons: list[np.ndarray]


def draw_silhouette(text: str, bend: Bend, size: float, image_size: int) -> Silhouette:
    """Draw the shape of an object: one or two characters with a border.

    Args:
        text: one or two characters.
        bend: font and distortion of the characters.
        size: length of the object's longer side in pixels, including the border.
        image_size: side length of the image in pixels.
    """
    border = max(1, round(SUPERSAMPLE * image_size * BORDER))
    # Draw the glyph with about the size of a medium object. It is then scaled only slightly, so that its edges stay
    # accurate.
    glyph, hull = _draw_glyph(text, bend.font, SUPERSAMPLE * image_size // 4)
    matrix = bend.matrix()
    # Scale the glyph so that the complete object has the length ``size``. The object is longer than the glyph by two
    # borders, and by about 1.5 subpixels that tracing adds.
    matrix *= (SUPERSAMPLE * size - 2 * border - 1.5) / np.ptp(hull @ matrix.T, axis=0).max()
    face = _bend(glyph, hull, matrix, margin=border + 2)
    distance = cv2.distanceTransform(255 - face, cv2.DIST_L2, cv2.DIST_MASK_5)
    outline = np.where(distance <= border, np.uint8(255), np.uint8(0))
    contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(outline, contours, -1, 255, cv2.FILLED)
    x, y, w, h = cv2.boundingRect(outline)
    crop = np.s_[y : y + h, x : x + w]
    outline = np.ascontiguousarray(outline[crop])
    return Silhouette(outline, np.ascontiguousarray(face[crop]), trace(outline))


def trace(outline: np.ndarray) -> list[np.ndarray]:
    """Return the polygons around the areas of a mask.

    Args:
        outline: (h, w) uint8 mask, 255 inside the areas and 0 outside.

    Returns:
        one int array (K, 2) per area: x in [0, w] and y in [0, h] of the K corners of its polygon.
    """
    # Trace a mask of pixel corners. Its contours follow the outer edges of the pixels. OpenCV's contours of the
    # original mask would run through the centers of the outermost pixels, half a pixel inside the shape.
    height, width = outline.shape
    corners = np.zeros((height + 1, width + 1), np.uint8)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        corners[dy : dy + height, dx : dx + width] |= outline
    contours, _ = cv2.findContours(corners, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = [cv2.approxPolyDP(contour, POLYGON_TOLERANCE, closed=True)[:, 0] for contour in contours]
    # Sort from top to bottom. OpenCV returns the lowest contour first.
    return polygons[::-1]


def _bend(glyph: np.ndarray, hull: np.ndarray, matrix: np.ndarray, margin: int) -> np.ndarray:
    """Distort and scale the image of a glyph.

    Args:
        glyph: (h, w) uint8, image of the glyph, white on black.
        hull: (K, 2) x, y of the K corners of the glyph's convex hull.
        matrix: (2, 2) matrix that maps points (x, y) of the glyph to points of the result.
        margin: width of the black margin around the result in subpixels.

    Returns:
        the distorted glyph, a uint8 mask with the values 0 and 255.
    """
    points = hull @ matrix.T
    shift = margin - np.floor(points.min(axis=0))
    width, height = (np.ceil(points.max(axis=0)) + shift + margin + 1).astype(int)
    affine = np.concatenate([matrix, shift[:, None]], axis=1)
    bent = cv2.warpAffine(glyph, affine, (int(width), int(height)), flags=cv2.INTER_LINEAR)
    return np.where(bent > 127, np.uint8(255), np.uint8(0))


@lru_cache(maxsize=256)
def _draw_glyph(text: str, font: str, em: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one or two characters without distortion.

    Args:
        text: the characters.
        font: name of a font file in Matplotlib's folder ``fonts/ttf``.
        em: font size in subpixels.

    Returns:
        the image (h, w) uint8, white on black, and the convex hull of the characters: (K, 2) float64, x, y of its K
        corners.
    """
    face = _load_font(font, em)
    left, top, right, bottom = face.getbbox(text)
    image = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=face)
    glyph = np.asarray(image)
    white = np.where(glyph > 127, np.uint8(255), np.uint8(0))
    contours, _ = cv2.findContours(white, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # The hull of the contours is computed ten times faster than the hull of all white pixels.
    hull = cv2.convexHull(np.concatenate(contours))
    return glyph, hull[:, 0].astype(np.float64)


@lru_cache(maxsize=16)
def _load_font(font: str, em: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", font)
    # Set the layout engine. Pillow's default engine depends on how Pillow was built, so that images could differ
    # between computers.
    return ImageFont.truetype(str(path), em, layout_engine=ImageFont.Layout.BASIC)
