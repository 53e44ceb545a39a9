"""Parse the labels in the files of classification datasets. A label is a class index or a class name."""

import math
import reprlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few


def index_of_label(text: str, num_classes: int, where: str) -> int:
    """Convert the text of a label, such as "17", to a class index.

    Args:
        text: text of the label in the file.
        num_classes: number of classes. The largest valid index is ``num_classes - 1``.
        where: file and line of the label, for the error message.

    Raises:
        DataError: the label is out of range, or contains a character that is not a digit.
    """
    index = _integer(text)
    if index is None or index >= num_classes:
        raise _unknown(text, num_classes, where)
    return index


class LabelReader:
    """Parser that converts the labels of one file to class indices. The file contains class names or class indices.

    Args:
        names: the class names, in the order of their indices.
    """

    def __init__(self, names: Sequence[str]):
        self.names = names
        self._by_name = {name: index for index, name in enumerate(names)}
        # Dict from the value of each numeric class name to the class index. Numbers are compared by value, because
        # spreadsheet programs change 01 and 1.0 to 1, and 1e1 to 10. If two class names have the same value, the first
        # name counts.
        self._by_number = {_number(name): index for index, name in reversed(list(enumerate(names)))}
        self._by_number.pop(None, None)
        # The numbers in a file must all be class names, or all be class indices. _name is the first number that can
        # only be a class name, and _index is the first number that can only be a class index. A file with both is
        # refused.
        self._name = self._index = ""

    def __call__(self, text: str, where: str) -> int:
        """Return the class index of a label, which is a class name or a class index.

        Args:
            text: text of the label in the file.
            where: file and line of the label, for the error message.

        Raises:
            DataError: the label is neither a class name nor a class index, the label is the index of one class and the
                name of another class, or the file mixes numeric class names and class indices.
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
                f"{where}: expected an unambiguous label, found {reprlib.repr(text)}, which is both the "
                f"name {self.names[other]!r} of class {other} and the index of class {index} ({self.names[index]!r}). "
                "Rename the classes, or use LIST, which reads all labels as indices."
            )
        if float(index) not in self._by_number:
            self._index = self._index or text
            self._check_mixture(where)
        return index

    def _check_mixture(self, where: str) -> None:
        if self._name and self._index:
            raise DataError(
                f"{where}: expected either class names or class indices in the file, found the class name "
                f"{self._name!r} and the class index {self._index!r}. Use class names or class indices in all lines."
            )


def _unknown(text: str, num_classes: int, where: str, names: Sequence[str] = ()) -> DataError:
    like = [name for name in names if plain(name) == plain(text)]
    hint = f". Class names that differ only in case, spaces or Unicode form: {first_few(map(repr, like))}"
    wanted = f"a class index in [0, {num_classes - 1}]" + " or a class name" * bool(names)
    return DataError(f"{where}: expected {wanted}, found {reprlib.repr(text)}{hint if like else ''}")


def plain(name: str) -> str:
    """Normalize a class name: convert it to lower case and Unicode form NFKC, and replace several spaces by one."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def similar_names(names: Iterable[str]) -> list[str]:
    """Find class names that differ only in case, spaces or Unicode form, and are probably the same class.

    Returns:
        a text for each group of similar names, such as "'cat' and 'Cat'".
    """
    alike = defaultdict(list)
    for name in names:
        alike[plain(name)].append(repr(name))
    return [" and ".join(group) for group in alike.values() if len(group) > 1]


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _number(name: str) -> float | None:
    """Convert a class name to a number, such as "1e1" to 10. Return None if the name is not a finite number."""
    try:
        value = float(unicodedata.normalize("NFKC", name))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
