"""Cut a page into square tiles, and create annotations of the tiles in LVIS format."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from seesaw_d2.data.muscima.ink import PAPER, draw_page, scaled
from seesaw_d2.data.muscima.pages import Page
from seesaw_d2.data.muscima.settings import TileSettings


@dataclass(frozen=True)
class Tile:
    """Annotations of a square part of a page.

    Attributes:
        file: file name of the tile's image.
        annotations: annotation entries in LVIS format, without "id" and "image_id".
        not_exhaustive: ids of the categories of omitted symbols. A symbol is omitted if the part inside the tile is
            smaller than ``TileSettings.visible`` allows, or if no training tile has a symbol of its category.
    """

    file: str
    annotations: list[dict[str, Any]]
    not_exhaustive: list[int]


@dataclass(frozen=True)
class TilesOfPage:
    """Tiles of a page.

    Attributes:
        tiles: the tiles.
        copies: number of symbols that are omitted as copies of another symbol.
        empty: number of symbols that are omitted because of an empty mask.
    """

    tiles: list[Tile]
    copies: int
    empty: int


def cut_page(
    page: Page,
    image: Path | None,
    folder: Path,
    ids: Mapping[str, int],
    settings: TileSettings,
    *,
    is_train: bool,
    omitted: Collection[int] = (),
) -> TilesOfPage:
    """Cut a page into tiles, and write the images of the tiles.

    Training tiles without annotations are omitted. Test tiles are omitted only if they are empty, because evaluation
    must count the false positives in tiles without annotations. Tiles that exceed the page are padded with white
    pixels.

    Args:
        page: the annotated page.
        image: image file of the page in CVC-MUSCIMA. If None, draw the union of the masks.
        folder: folder to which the images are written.
        ids: dict from category name to id. Symbols of other categories are not annotated.
        settings: settings of the tiles.
        is_train: if True, cut training tiles, which overlap by ``settings.overlap`` pixels. If False, cut test tiles,
            which do not overlap.
        omitted: ids of categories whose symbols are not annotated. In tiles that show such symbols, these ids are in
            ``Tile.not_exhaustive``.
    """
    ink, _, _ = scaled(PAPER - draw_page(page, image), settings.scale)
    symbols, copies, empty = _shrunk_symbols(page, ids, settings.scale)
    tiles = []
    for top, left in _corners(ink.shape, settings.tile, settings.overlap if is_train else 0):
        annotations, not_exhaustive = _annotations(symbols, top, left, settings, omitted)
        window = ink[top : top + settings.tile, left : left + settings.tile]
        if annotations or (not is_train and window.any()):
            name = f"w{page.writer:02d}_p{page.number:02d}_{top:04d}_{left:04d}.png"
            picture = np.full((settings.tile, settings.tile), PAPER, dtype=np.uint8)
            picture[: window.shape[0], : window.shape[1]] -= window
            Image.fromarray(picture).save(folder / name)
            tiles.append(Tile(name, annotations, not_exhaustive))
    return TilesOfPage(tiles, copies, empty)


def _shrunk_symbols(page: Page, ids: Mapping[str, int], scale: float) -> tuple[list[tuple], int, int]:
    """Downscale the masks of a page's symbols. Omit copies of symbols, and symbols with an empty mask.

    Args:
        page: the annotated page.
        ids: dict from category name to id. Symbols of other categories are omitted.
        scale: scale factor.

    Returns:
        a list of (category id, mask, top, left), the number of copies, and the number of symbols with an empty mask.
    """
    found, seen, copies, empty = [], set(), 0, 0
    for symbol in page.symbols:
        if symbol.category not in ids:
            continue
        if symbol.key in seen:
            copies += 1
        elif symbol.is_empty:
            empty += 1
        else:
            coverage, top, left = scaled(symbol.mask.astype(np.uint8) * 255, scale, symbol.top, symbol.left)
            mask = coverage >= 128
            # A thin line may cover less than half of each pixel. In this case, use all pixels that the line touches.
            found.append((ids[symbol.category], mask if mask.any() else coverage > 0, top, left))
        seen.add(symbol.key)
    return found, copies, empty


def _corners(shape: tuple[int, int], tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield the top and left position of each tile. The tiles cover the whole page."""
    tops, lefts = (range(0, max(side - overlap, 1), tile - overlap) for side in shape)
    yield from ((top, left) for top in tops for left in lefts)


def _annotations(
    symbols, top: int, left: int, settings: TileSettings, omitted: Collection[int]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Return ``annotations`` and ``not_exhaustive`` of the tile whose top left corner is at ``top`` and ``left``."""
    annotations, pieces = [], set()
    for category, mask, y, x in symbols:
        rows, columns = _inside(y, mask.shape[0], top, settings.tile), _inside(x, mask.shape[1], left, settings.tile)
        if rows is None or columns is None:
            continue
        piece = mask[rows, columns]
        visible = int(piece.sum())
        if not visible:
            continue
        if category in omitted or visible < settings.visible * mask.sum():
            pieces.add(category)
            continue
        whole = np.zeros((settings.tile, settings.tile), dtype=np.uint8, order="F")
        y0, x0 = y + rows.start - top, x + columns.start - left
        whole[y0 : y0 + piece.shape[0], x0 : x0 + piece.shape[1]] = piece
        annotations.append({"category_id": category, **_shape(whole)})
    return annotations, sorted(pieces)


def _inside(start: int, length: int, tile_start: int, tile: int) -> slice | None:
    """Return the slice of a symbol's rows or columns that a tile contains, or None if the tile contains no part.

    Args:
        start: first row or column of the symbol on the page.
        length: number of rows or columns of the symbol.
        tile_start: first row or column of the tile on the page.
        tile: number of rows or columns of the tile.
    """
    low, high = max(tile_start - start, 0), min(tile_start + tile - start, length)
    return slice(low, high) if low < high else None


def _shape(mask: np.ndarray) -> dict[str, Any]:
    """Return the fields "bbox", "area" and "segmentation" of an annotation with this mask, in LVIS format.

    The segmentation is run-length encoded, because polygons would fill the holes in noteheads.
    """
    encoded = coco_mask.encode(mask)
    return {
        "bbox": coco_mask.toBbox(encoded).tolist(),
        "area": int(coco_mask.area(encoded)),
        "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")},
    }
