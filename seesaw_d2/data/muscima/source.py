"""Pages of MUSCIMA++ v2.0, their images, and the split into training and test pages."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from seesaw_d2.data.muscima.archive import official_test_pages, parse_pages, read_files
from seesaw_d2.data.muscima.ink import DRAWN, SCANNED, find_images
from seesaw_d2.data.muscima.pages import Page
from seesaw_d2.data.muscima.settings import LEFT_OUT, Split
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few


@dataclass(frozen=True, eq=False)
class Source:
    """Pages in the order of their names, and the source of their images."""

    pages: list[Page]
    # names of the test pages if the published test set is selected
    official: frozenset[str] | None
    images: dict[tuple[int, int], Path] | None
    # SHA-256 of the annotation files
    digest: str

    def image_of(self, page: Page) -> Path | None:
        return None if self.images is None else self.images[page.writer, page.number]

    @property
    def pictures(self) -> str:
        """Describe the source of the page images."""
        return DRAWN if self.images is None else SCANNED

    def categories(self, left_out: tuple[str, ...]) -> list[str]:
        """Return the sorted categories of all pages, so that all folds have the same categories.

        Raises:
            DataError: ``left_out`` contains an unknown category, or all categories.
        """
        found = {symbol.category for page in self.pages for symbol in page.symbols}
        unknown = sorted(set(left_out) - found - set(LEFT_OUT))  # a subset of the pages may lack classes
        if unknown:
            raise DataError(f"--leave-out: expected classes of the pages, found {first_few(unknown)}")
        if not found - set(left_out):
            raise DataError(f"--leave-out: expected some class to be left, found all {len(found)} left out")
        return sorted(found - set(left_out))

    def parts(self, split: Split) -> dict[str, list[Page]]:
        """Return the training and the test pages.

        Raises:
            DataError: a part has no pages.
        """
        test = [page for page in self.pages if self._is_test(page, split)]
        writers = {page.writer for page in test}
        parts = {"train": [page for page in self.pages if page.writer not in writers], "test": test}
        for name, pages in parts.items():
            if not pages:
                raise DataError(f"{split.name}: expected pages in both parts, found no {name} page")
        return parts

    def _is_test(self, page: Page, split: Split) -> bool:
        return page.name in self.official if self.official is not None else page.writer % split.folds == split.fold


def read_source(source: Path, images: Path | None, split: Split) -> Source:
    """Read MUSCIMA++.

    Args:
        source: archive or folder of MUSCIMA++ v2.0.
        images: folder of CVC-MUSCIMA's page images. None: draw pages from the masks.

    Raises:
        ConfigError, DataError: a file is missing or invalid; see ``read_files`` and ``find_images``.
    """
    files = read_files(source)
    pages = list(parse_pages(files))
    found = None if images is None else find_images(images)
    if found is not None:
        missing = [page.name for page in pages if (page.writer, page.number) not in found]
        if missing:
            raise DataError(
                f"--images {images}: expected an image of each page, found no image of {first_few(missing)}"
            )
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name.rsplit('/', 1)[-1]}\n{len(content)}\n".encode() + content)
    return Source(pages, official_test_pages(files) if split.official else None, found, digest.hexdigest())
