"""Parse an annotation file of MUSCIMA++ v2.0, which contains the boxes and masks of the symbols on one page."""

import re
from dataclasses import dataclass
from xml.parsers import expat

import numpy as np

from seesaw_d2.errors import DataError

FIELDS = ("ClassName", "Top", "Left", "Width", "Height", "Mask")
# Maximum length of the longer side of a page in pixels. Larger pages are refused, because their masks would fill the
# memory. The longer side of CVC-MUSCIMA's pages has about 3,500 pixels.
MAX_SIDE = 20_000
_DOCUMENT = re.compile(r"W-(\d+)_N-(\d+)")
_RUN = re.compile(r"[01]:\d{1,9}")


@dataclass(frozen=True, eq=False)
class Symbol:
    """Annotated music symbol on a page, with a class, a box and a mask.

    Attributes:
        category: name of the class.
        top, left, height, width: position and size of the box in pixels of the page.
        runs: run lengths of the mask inside the box, row by row. Runs of background (0) and symbol (1) alternate. The
            first run is background, and may have length 0.
    """

    category: str
    top: int
    left: int
    height: int
    width: int
    runs: tuple[int, ...]

    @property
    def mask(self) -> np.ndarray:
        """Return the mask inside the symbol's box, a bool array (height, width). True for pixels of the symbol."""
        values = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(values, self.runs).reshape(self.height, self.width)

    @property
    def is_empty(self) -> bool:
        return not any(self.runs[1::2])

    @property
    def key(self) -> tuple:
        """Return a hashable value that is equal for symbols with the same class, box and mask, to find copies."""
        return (self.category, self.top, self.left, self.height, self.width, self.runs)


@dataclass(frozen=True, eq=False)
class Page:
    """Page of handwritten music with annotated symbols.

    Attributes:
        name: name of the page, such as "CVC-MUSCIMA_W-05_N-11_D-ideal" for writer 5 and piece 11.
        writer: number of the person who wrote the page.
        number: number of the piece of music that the page shows. In CVC-MUSCIMA, all writers copied the same pieces.
        symbols: the annotated symbols.
    """

    name: str
    writer: int
    number: int
    symbols: tuple[Symbol, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Return the smallest possible (height, width) of the page in pixels, so that all symbols are inside."""
        height = max((symbol.top + symbol.height for symbol in self.symbols), default=1)
        return height, max((symbol.left + symbol.width for symbol in self.symbols), default=1)


def parse_page(content: bytes, where: str) -> Page:
    """Parse an annotation file of MUSCIMA++, which describes the symbols on one page.

    Args:
        content: content of the XML file.
        where: path of the file, for messages. If the XML lacks the attribute ``document``, the page is named after the
            file.

    Raises:
        DataError: the content is not XML, is not an annotation file of MUSCIMA++ v2.0, or contains a document type
            declaration. These declarations are refused, because they can define entities that expand to gigabytes.
    """
    reader = _Reader(where)
    try:
        reader.parser.Parse(content, True)
    except DataError:
        raise
    # An unknown character encoding raises ValueError or LookupError.
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DataError(f"{where}: this file is not valid XML ({error})") from None
    name = reader.document or where.rsplit("/", 1)[-1].removesuffix(".xml")
    found = _DOCUMENT.search(name)
    if found is None:
        raise DataError(f"{where}: expected a document name such as CVC-MUSCIMA_W-05_N-11_D-ideal, found {name!r}")
    return Page(name, int(found[1]), int(found[2]), tuple(reader.symbols))


class _Reader:
    """XML parser that collects the symbols of a page. It does not keep the XML document in memory.

    Args:
        where: path of the file, for messages.

    Attributes:
        document: name of the page in the XML, or None.
        symbols: the symbols that were parsed so far.
    """

    def __init__(self, where: str):
        self.where = where
        self.document: str | None = None
        self.symbols: list[Symbol] = []
        self._path: list[str] = []
        self._fields: dict[str, str] = {}
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, name: str, *_: object) -> None:
        raise DataError(f"{self.where}: expected XML without a document type declaration, found <!DOCTYPE {name}>")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path:
            if tag != "Nodes":
                raise DataError(f"{self.where}: expected the root element <Nodes> of MUSCIMA++ v2.0, found <{tag}>")
            self.document = attributes.get("document")
        elif len(self._path) == 1:
            self._fields = {}
        self._path.append(tag)

    def _text(self, text: str) -> None:
        if len(self._path) == 3 and self._path[1] == "Node":
            self._fields[self._path[2]] = self._fields.get(self._path[2], "") + text

    def _end(self, tag: str) -> None:
        self._path.pop()
        if len(self._path) == 1 and tag == "Node":
            number = self._fields.get("Id", "").strip() or f"number {len(self.symbols)}"
            self.symbols.append(_symbol(self._fields, f"{self.where}, node {number}"))


def _symbol(fields: dict[str, str], where: str) -> Symbol:
    missing = [name for name in FIELDS if not fields.get(name, "").strip()]
    if missing:
        raise DataError(f"{where}: expected the fields {', '.join(FIELDS)}, found no field {missing[0]}")
    numbers = {}
    for name, least in (("Top", 0), ("Left", 0), ("Width", 1), ("Height", 1)):
        text = fields[name].strip()
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= MAX_SIDE:
            raise DataError(f"{where}: {name}: expected an integer from {least} to {MAX_SIDE}, found {text[:30]!r}")
        numbers[name.lower()] = int(text)
    for start, length in (("top", "height"), ("left", "width")):
        end = numbers[start] + numbers[length]
        if end > MAX_SIDE:
            total = f"{start.title()} + {length.title()}"
            raise DataError(f"{where}: {total}: expected at most {MAX_SIDE} pixels, found {end} pixels")
    pixels = numbers["width"] * numbers["height"]
    return Symbol(fields["ClassName"].strip(), **numbers, runs=_runs(fields["Mask"].split(), pixels, where))


def _runs(words: list[str], pixels: int, where: str) -> tuple[int, ...]:
    """Convert a run-length mask in MUSCIMA++'s format to alternating runs of 0 and 1.

    For example, ["1:3", "1:2", "0:4"] becomes (0, 5, 4): a run of 0 with length 0, a run of 1 with length 5, and a run
    of 0 with length 4.

    Args:
        words: runs in the form "value:length".
        pixels: number of pixels in the box. DataError is raised if the sum of all lengths differs.
        where: path of the file and id of the symbol, for messages.
    """
    runs = [0]
    for word in words:
        if not _RUN.fullmatch(word):
            raise DataError(f"{where}: Mask: expected runs such as 0:14 or 1:2, found {word[:30]!r}")
        if len(runs) % 2 == (word[0] == "0"):
            runs[-1] += int(word[2:])
        else:
            runs.append(int(word[2:]))
    if sum(runs) != pixels:
        raise DataError(
            f"{where}: Mask: expected runs with a total length of {pixels} pixels (Width x Height), found "
            f"{sum(runs)} pixels"
        )
    return tuple(runs)
