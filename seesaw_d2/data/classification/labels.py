"""Parse labels in files, which are indices or names of classes, depending on the file's format.

Shapes: C classes.
"""

import math
import reprlib
import unicodedata
from collections.abc import Sequence

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few


def index_of_label(text: str, num_classes: int, where: str) -> int:
    """Parse a label as an index in [0, C). Class names are not considered.

    Args:
        text: the label.
        where: file and line of the label, for the message.

    Raises:
        DataError: the label does not consist of the digits 0 to 9, or is out of range.
    """
    index = _integer(text)
    if index is None or index >= num_classes:
        raise _unknown(text, num_classes, where)
    return index


class LabelReader:
    """Parser of the labels in a file whose labels may be names or indices of classes.

    Args:
        names: C class names.
    """

    def __init__(self, names: Sequence[str]):
        self.names = names
        self._by_name = {name: index for index, name in enumerate(names)}
        # Numeric names, because spreadsheets write 1 for a class named 01 or 1.0, and 10 for a class named 1e1.
        self._by_number = {_number(name): index for index, name in reversed(list(enumerate(names)))}
        self._by_number.pop(None, None)
        # The first numeric label that can only be a name, and the first that can only be an index.
        self._name = self._index = ""

    def __call__(self, text: str, where: str) -> int:
        """Return the class index of a label.

        Args:
            text: the label.
            where: file and line of the label, for the message.

        Raises:
            DataError: the label is neither a class's name nor an index in [0, C); it is the index of one class and the
                name of another; or some numeric labels so far can only be names and others only indices.
        """
        index, named = _integer(text), self._by_name.get(text)
        if index is None or index >= len(self.names):
            if named is None:
                raise _unknown(text, len(self.names), where, self.names)
            if _number(text) is not None:
                self._name = self._name or text
                self._check_mixture(where)
            return named
        other = self._by_number.get(float(index), index) if named is None else named
        if other != index:
            raise DataError(
                f"{where}: expected a label with one meaning, found {reprlib.repr(text)}: the name "
                f"{self.names[other]!r} of class {other}, or the index of class {index} ({self.names[index]!r}); "
                "rename the classes, or write their indices into a file for LIST"
            )
        if float(index) not in self._by_number:
            self._index = self._index or text
            self._check_mixture(where)
        return index

    def _check_mixture(self, where: str) -> None:
        if self._name and self._index:
            raise DataError(
                f"{where}: expected only class names or only class indices as labels, found both: the name "
                f"{self._name!r} and the index {self._index!r}"
            )


def _unknown(text: str, num_classes: int, where: str, names: Sequence[str] = ()) -> DataError:
    like = [name for name in names if plain(name) == plain(text)]
    hint = f"; classes whose names differ only in case, spaces or Unicode form: {first_few(map(repr, like))}"
    wanted = f"a label in [0, {num_classes - 1}]" + " or the name of a class" * bool(names)
    return DataError(f"{where}: expected {wanted}, found {reprlib.repr(text)}{hint if like else ''}")


def plain(name: str) -> str:
    """Normalize a class's name (lower case, no outer spaces, one Unicode form) to find similar names."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _number(name: str) -> float | None:
    """Return the number that a name represents in any notation, or None if it is not a number."""
    try:
        value = float(unicodedata.normalize("NFKC", name))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
