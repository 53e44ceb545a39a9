"""Create annotation files in LVIS v1 format for tiles of MUSCIMA++ pages."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from seesaw_d2.data.muscima.tiles import Tile
from seesaw_d2.data.synthetic.plan import frequency

URL = "https://github.com/OMR-Research/muscima-pp"
LICENSE = "CC BY-NC-SA 4.0 (not for commercial use)"
LICENSE_URL = "https://creativecommons.org/licenses/by-nc-sa/4.0/"
CITATION = (
    "Hajič jr. and Pecina, The MUSCIMA++ Dataset for Handwritten Optical Music Recognition, ICDAR 2017; "
    "Fornés et al., CVC-MUSCIMA, IJDAR 15(3), 2012"
)
# Date in the written annotation files. It is constant, so that the same settings always give the same bytes.
_DATE = "2017-11-09 00:00:00"


def count_categories(tiles: Iterable[Tile], ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Count the training tiles and training objects of each category.

    Args:
        tiles: the training tiles.
        ids: ids of all categories.

    Returns:
        for each category id, the number of tiles that contain this category, and the number of its objects.
    """
    images: dict[int, int] = defaultdict(int)
    objects: dict[int, int] = defaultdict(int)
    for tile in tiles:
        found = [annotation["category_id"] for annotation in tile.annotations]
        for category in found:
            objects[category] += 1
        for category in set(found):
            images[category] += 1
    return {category: (images[category], objects[category]) for category in ids}


def category_records(ids: Mapping[str, int], counts: Mapping[int, tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the list "categories" in LVIS format, which is the same for training and test annotations.

    As in LVIS, "image_count" and "instance_count" refer to the training images.

    Args:
        ids: category ids by category name.
        counts: for each category id, the number of training tiles that contain this category, and the number of its
            training objects.
    """
    return [
        {
            "id": identity,
            "name": name,
            "synset": f"{name}.n.01",
            "synonyms": [name],
            "def": f"MUSCIMA++ class {name}",
            "image_count": counts[identity][0],
            "instance_count": counts[identity][1],
            "frequency": frequency(counts[identity][0]),
        }
        for name, identity in ids.items()
    ]


def annotation_file(
    tiles: list[Tile], categories: list[dict[str, Any]], part: str, side: int, pictures: str, first_image: int
) -> dict[str, Any]:
    """Return the content of the annotation file in LVIS format for the training tiles or the test tiles.

    MUSCIMA++ annotates all symbols of a page. Therefore ``neg_category_ids`` (the categories that are verified to be
    absent) contains all categories of which a tile has neither annotations nor omitted symbols.

    Args:
        tiles: the training or test tiles.
        categories: list "categories" of the annotation file.
        part: "train" or "test", which is also the name of the folder that contains the images of these tiles.
        side: side length of a tile in pixels.
        pictures: description of the page images for the field "info": scanned pages, or drawn from masks.
        first_image: image id of the first tile. The ids of training and test tiles must differ.
    """
    ids = {category["id"] for category in categories}
    images, annotations = [], []
    for image_id, tile in enumerate(tiles, start=first_image):
        shown = {annotation["category_id"] for annotation in tile.annotations}
        images.append(
            {
                "id": image_id,
                "width": side,
                "height": side,
                "coco_url": f"{URL}/{part}/{tile.file}",
                "flickr_url": "",
                "license": 1,
                "date_captured": _DATE,
                "neg_category_ids": sorted(ids - shown - set(tile.not_exhaustive)),
                "not_exhaustive_category_ids": tile.not_exhaustive,
            }
        )
        for annotation in tile.annotations:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    info = {
        "description": f"MUSCIMA++ v2.0 in tiles, {part} part; pictures: {pictures}; cite {CITATION}",
        "url": URL,
        "version": "2.0",
        "year": 2017,
        "contributor": "Jan Hajič jr., Pavel Pecina",
        "date_created": _DATE,
    }
    licenses = [{"id": 1, "name": LICENSE, "url": LICENSE_URL}]
    return {
        "info": info,
        "licenses": licenses,
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }
