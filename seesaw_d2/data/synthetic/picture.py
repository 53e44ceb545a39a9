"""Draw an image with a textured background, clutter, colored objects, blur and noise.

While an image is drawn, it is an RGB array (height, width, 3) of float32 values around the range from 0 to 255.
"""

import cv2
import numpy as np

from seesaw_d2.data.synthetic.layout import PlacedGlyph
from seesaw_d2.data.synthetic.silhouette import SUPERSAMPLE

# The textured background is the sum of four layers of color noise, from coarse to fine. Each layer is a grid of
# TEXTURE_CELLS x TEXTURE_CELLS random colors, scaled to the image. TEXTURE_STD is the maximum standard deviation of
# the color values, for pixel values from 0 to 255.
TEXTURE_CELLS = (2, 5, 12, 30)
TEXTURE_STD = (30.0, 20.0, 15.0, 12.0)
MAX_CLUTTER_LINES = 6
# The brightness (mean over the channels, 0 to 255) of a glyph and its border differs at least by this number, so that
# glyphs are legible on every background.
MIN_CONTRAST = 60.0
# Maximum standard deviation of the Gaussian blur in pixels, for images of 128 x 128 pixels. The blur of larger images
# is proportionally larger.
MAX_BLUR = 0.8
MAX_NOISE = 10.0  # maximum standard deviation of the pixel noise, for pixel values from 0 to 255


def draw_picture(objects: list[PlacedGlyph], size: int, rng: np.random.Generator, background: str) -> np.ndarray:
    """Draw objects in random colors on a random background, and add blur and noise.

    Args:
        objects: objects that do not overlap, with their positions.
        size: side length of the image in pixels.
        rng: random generator for colors, blur and noise.
        background: "textured" for color noise and lines, or "plain" for one color.

    Returns:
        the RGB image, (size, size, 3) uint8.
    """
    picture = draw_background(size, rng, background == "textured")
    for placed in objects:
        paint(picture, placed, *contrasting_colors(rng))
    sigma = rng.uniform(0.01, MAX_BLUR) * size / 128
    picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    picture += rng.uniform(0, MAX_NOISE) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def draw_background(size: int, rng: np.random.Generator, textured: bool) -> np.ndarray:
    """Draw a background of one random color.

    Args:
        size: side length of the image in pixels.
        rng: random generator for colors and lines.
        textured: if True, add color noise and lines.

    Returns:
        an RGB image (size, size, 3) float32, with values around the range from 0 to 255.
    """
    picture = np.empty((size, size, 3), np.float32)
    picture[:] = rng.uniform(40, 215, size=3)
    if not textured:
        return picture
    for cells, std in zip(TEXTURE_CELLS, TEXTURE_STD, strict=True):
        noise = rng.standard_normal((cells, cells, 3), dtype=np.float32) * np.float32(rng.uniform(0, std))
        picture += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    # Convert to 8 bits, because OpenCV draws antialiased lines only on 8-bit images.
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(MAX_CLUTTER_LINES + 1)):
        start, end = rng.integers(0, size, size=(2, 2)).tolist()
        width = int(rng.integers(1, max(2, size // 32) + 1))
        cv2.line(picture, start, end, rng.uniform(0, 255, size=3).tolist(), width, cv2.LINE_AA)
    return picture.astype(np.float32)


def contrasting_colors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return random colors for a glyph and its border, each an RGB array (3,) float32 from 0 to 255.

    The brightness (mean over the channels) of the two colors differs by more than ``MIN_CONTRAST``.
    """
    while True:
        first, second = rng.uniform(0, 255, size=(2, 3)).astype(np.float32)
        if abs(first.mean() - second.mean()) > MIN_CONTRAST:
            return first, second


def paint(picture: np.ndarray, placed: PlacedGlyph, face_color, border_color) -> None:
    """Paint an object with antialiased edges on an image.

    Args:
        picture: RGB image (height, width, 3) float32, which is changed in place.
        placed: shape and position of the object.
        face_color: (3,) RGB color of the glyph.
        border_color: (3,) RGB color of the border around the glyph.
    """
    left, top = placed.x // SUPERSAMPLE, placed.y // SUPERSAMPLE
    height, width = placed.silhouette.outline.shape
    right, bottom = -(-(placed.x + width) // SUPERSAMPLE), -(-(placed.y + height) // SUPERSAMPLE)
    patch = picture[top:bottom, left:right]
    shift = np.s_[placed.y - top * SUPERSAMPLE :, placed.x - left * SUPERSAMPLE :]
    for mask, color in ((placed.silhouette.outline, border_color), (placed.silhouette.face, face_color)):
        fine = np.zeros((SUPERSAMPLE * (bottom - top), SUPERSAMPLE * (right - left)), np.uint8)
        fine[shift][:height, :width] = mask
        cover = cv2.resize(fine, patch.shape[1::-1], interpolation=cv2.INTER_AREA)
        alpha = cover[..., None] / np.float32(255)
        patch += alpha * (color - patch)
