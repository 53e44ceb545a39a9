"""Read the pages of MUSCIMA++ v2.0, find the page images, and split the pages into training and test pages."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from seesaw_d2.data.muscima.archive import official_test_pages, parse_pages, read_files
from seesaw_d2.data.muscima.ink import DRAWN, SCANNED, find_images
from seesaw_d2.data.muscima.pages import Page
from seesaw_d2.data.muscima.settings import LEFT_OUT, Split
from seesaw_d2.errors import DataError
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.messages import first_few


@dataclass(frozen=True, eq=False)
class Source:
    """Annotated pages of MUSCIMA++, with the scanned page images of CVC-MUSCIMA if available.

    Attributes:
        pages: the annotated pages, sorted by name.
        official: names of the pages in the published test set. None if the split uses folds instead.
        images: image file of each page. The keys are (number of the writer, number of the page). If None, the pages are
            drawn from the masks of the symbols.
        digest: SHA-256 hash of the names and contents of the annotation files and of the list of test pages.
    """

    pages: list[Page]
    official: frozenset[str] | None
    images: dict[tuple[int, int], Path] | None
    digest: str

    def image_of(self, page: Page) -> Path | None:
        return None if self.images is None else self.images[page.writer, page.number]

    @property
    def pictures(self) -> str:
        """Return a text for the annotation files that says whether pages are scanned or drawn from masks."""
        return DRAWN if self.images is None else SCANNED

    def categories(self, left_out: tuple[str, ...]) -> list[str]:
        """Return the sorted names of the classes in all pages.

        Training and test pages are not distinguished. Therefore all splits have the same categories.

        Args:
            left_out: names of classes to omit.

        Raises:
            DataError: ``left_out`` contains an unknown class, or all classes.
        """
        found = {symbol.category for page in self.pages for symbol in page.symbols}
        # Accept all classes of LEFT_OUT, the default of ``left_out``, even if the source contains no symbols of these
        # classes.
        unknown = sorted(set(left_out) - found - set(LEFT_OUT))
        if unknown:
            raise DataError(
                f"--leave-out: expected classes of MUSCIMA++, found unknown classes: {first_few(unknown)}"
                f"{did_you_mean(near_names(unknown[0], found))}"
            )
        if not found - set(left_out):
            raise DataError(
                f"--leave-out: expected at most {len(found) - 1} of the {len(found)} annotated classes, found all "
                f"{len(found)} classes. At least one class must remain."
            )
        return sorted(found - set(left_out))

    def parts(self, split: Split) -> dict[str, list[Page]]:
        """Split the pages into training and test pages. No writer has both training and test pages.

        Returns:
            a dict with the keys "train" and "test".

        Raises:
            DataError: the source contains no training page or no test page.
        """
        test = [page for page in self.pages if self._is_test(page, split)]
        writers = {page.writer for page in test}
        parts = {"train": [page for page in self.pages if page.writer not in writers], "test": test}
        for name, pages in parts.items():
            if not pages:
                option = "--official" if split.official else f"--fold {split.fold}"
                kind = "training" if name == "train" else name
                raise DataError(
                    f"{option}: the archive or folder contains no {kind} page for this split. Choose another split."
                )
        return parts

    def _is_test(self, page: Page, split: Split) -> bool:
        return page.name in self.official if self.official is not None else page.writer % split.folds == split.fold


def read_source(source: Path, images: Path | None, split: Split) -> Source:
    """Parse all annotated pages of MUSCIMA++, and find the scanned images of these pages.

    Args:
        source: archive or folder of MUSCIMA++ v2.0.
        images: folder of CVC-MUSCIMA's scanned page images. If None, pages will be drawn from the masks of the symbols.
        split: split into training and test pages. If it is the official split, also read the list of test pages.

    Raises:
        ConfigError: ``source`` does not exist, or ``images`` does not exist or contains no page image.
        DataError: a file is invalid, or ``images`` lacks the image of a page.
    """
    files = read_files(source)
    pages = list(parse_pages(files))
    found = None if images is None else find_images(images)
    if found is not None:
        missing = [page.name for page in pages if (page.writer, page.number) not in found]
        if missing:
            raise DataError(
                f"--images {images}: expected an image of each of {len(pages)} pages, found no image of {len(missing)} "
                f"pages: {first_few(missing)}"
            )
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name.rsplit('/', 1)[-1]}\n{len(content)}\n".encode() + content)
    return Source(pages, official_test_pages(files) if split.official else None, found, digest.hexdigest())
