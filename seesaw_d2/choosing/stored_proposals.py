"""Store the proposals of many images on disk, with logits and predicted boxes.

Shapes: R proposals of an image, P proposals of all images, L logits, K boxes per proposal (1, or one per category).
"""

import json
import os
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seesaw_d2.choosing.json_lines import append_line, complete_lines, cut_incomplete_line
from seesaw_d2.errors import ConfigError, DataError, OutputError
from seesaw_d2.utils.atomic_files import make_folder, write_text
from seesaw_d2.utils.json_reading import load_json_object

DESCRIPTION, _IMAGES, _KIND = "proposals.json", "images.jsonl", "seesaw_d2 stored proposals"


@dataclass(frozen=True, eq=False)
class ImageProposals:
    """Outputs of a detector for all proposals of an image, before detections are selected.

    Attributes:
        image_id: id in the annotation file.
        size: (height, width) of the resized image.
        output_size: (height, width) of the image file.
        columns: dict from name to array with a row for each of R proposals. "boxes", (R, 4 K) float32, are K XYXY boxes
            per proposal (1, or one per category) in pixels of the resized image, not clipped to the image. "logits0",
            "logits1", ..., each (R, L), are the L logits of each cascade stage. The docstrings of ``record`` and
            ``record_training`` describe the other columns.
    """

    image_id: int
    size: tuple[int, int]
    output_size: tuple[int, int]
    columns: dict[str, np.ndarray]

    @property
    def logits(self) -> list[np.ndarray]:
        """Return the logits of each cascade stage, a list of arrays (number of proposals, number of logits)."""
        return [self.columns[name] for name in _stages(self.columns)]


def _stages(columns: Iterable[str]) -> list[str]:
    """Return the column names "logits0", "logits1", ... among ``columns``, one for each cascade stage, in order."""
    return sorted(name for name in columns if name.removeprefix("logits").isdigit())


class StoredProposals(Sequence[ImageProposals]):
    """Read the proposals that ``ProposalWriter`` has written to a folder, as a sequence of images.

    The arrays are memory-mapped, so that datasets larger than the memory can be read.

    Args:
        folder: the folder.

    Attributes:
        description: content of proposals.json: columns, identification of the proposals, and settings of the writer.

    Raises:
        DataError: the folder contains no stored proposals, or the files are inconsistent.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.description = _read_description(self.folder)
        self._images = _read_images(self.folder)
        self._starts = np.cumsum([0, *(image["proposals"] for image in self._images)])
        self._columns: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images with stored proposals")
        image, start = self._images[index], self._starts[index % len(self)]
        rows = slice(start, start + image["proposals"])
        columns = {name: self.column(name)[rows] for name in self.description["columns"]}
        return ImageProposals(image["image_id"], tuple(image["size"]), tuple(image["output_size"]), columns)

    @property
    def image_ids(self) -> list[int]:
        """Return the ids of the images in the order of this sequence."""
        return [image["image_id"] for image in self._images]

    @property
    def counts(self) -> np.ndarray:
        """Return the number of proposals of each image, an integer array of length ``len(self)``."""
        return np.diff(self._starts)

    @property
    def logits(self) -> list[np.ndarray]:
        """Return the logits of each cascade stage, memory-mapped arrays (number of all proposals, number of logits)."""
        return [self.column(name) for name in _stages(self.description["columns"])]

    def column(self, name: str) -> np.ndarray:
        """Return one kind of data for the proposals of all images, a memory-mapped array with one row per proposal.

        Args:
            name: name of the data, such as "boxes" or "logits0" (see ``ImageProposals.columns``).

        Raises:
            DataError: the file is missing or too short.
        """
        if name not in self._columns:
            dtype, width = self.description["columns"][name]
            rows, path = int(self._starts[-1]), _file(self.folder, name)
            _check_size(path, dtype, rows, width)
            shape = (rows, width)
            self._columns[name] = np.memmap(path, dtype, "r", shape=shape) if rows else np.zeros(shape, dtype)
        return self._columns[name]


class ProposalWriter:
    """Append the proposals of images to a folder. ``StoredProposals`` reads the folder.

    To resume an interrupted program, create a new writer. The writer continues after the last complete image.

    Args:
        folder: a new or empty folder, or a folder that another writer with the same ``made_from`` has created.
        made_from: JSON values that identify the proposals, such as hashes of the weights and of the image ids.
        settings: further JSON values to store in proposals.json (``StoredProposals.description``).

    Attributes:
        written: number of complete images in the folder.

    Raises:
        ConfigError: the folder contains other files, or proposals with another ``made_from``.
        DataError: a file of the folder is missing or too short.
    """

    def __init__(self, folder: str | os.PathLike, made_from: dict[str, Any], settings: dict[str, Any] | None = None):
        self.folder = Path(folder)
        self._description: dict[str, Any] = {
            "kind": _KIND,
            "made_from": json.loads(json.dumps(made_from)),
            "settings": json.loads(json.dumps(settings or {})),
            "columns": None,
        }
        self.written = 0
        if self.folder.is_dir() and any(self.folder.iterdir()):
            self._continue()

    def _continue(self) -> None:
        """Continue a folder of an interrupted program: remove its incomplete last image, and count its images.

        Raises:
            ConfigError: the folder contains other files, or proposals with another ``made_from``.
        """
        try:
            found = _read_description(self.folder)
        except DataError as error:
            raise ConfigError(
                f"{self.folder}: the folder contains files that are not stored proposals. Choose a new or empty folder"
            ) from error
        for key, value in self._description["made_from"].items():
            if found["made_from"].get(key) != value:
                raise ConfigError(
                    f"{self.folder}: the folder contains stored proposals of other settings. For {key!r}, expected "
                    f"{value}, found {found['made_from'].get(key)}. Choose another folder"
                )
        self._description = found
        images = _read_images(self.folder)
        self.written = len(images)
        rows = sum(image["proposals"] for image in images)
        cut_incomplete_line(self.folder / _IMAGES)
        for name, (dtype, width) in found["columns"].items():
            # os.truncate would extend a shorter file with zeros, which would be proposals without a message.
            size = _check_size(_file(self.folder, name), dtype, rows, width)
            os.truncate(_file(self.folder, name), size)

    def add(self, image: ImageProposals) -> None:
        """Append the proposals of an image.

        Raises:
            OutputError: the folder cannot be written, for example because the disk is full.
            ValueError: the names, types or widths of the columns differ from those of the first image.
        """
        columns = {name: [str(array.dtype), array.shape[1]] for name, array in image.columns.items()}
        if self._description["columns"] is None:
            self._description["columns"] = columns
            make_folder(self.folder)
            for name in columns:
                _file(self.folder, name).touch()
            (self.folder / _IMAGES).touch()
            write_text(self.folder / DESCRIPTION, json.dumps(self._description, indent=1))
        elif columns != self._description["columns"]:
            raise ValueError(
                f"image {image.image_id}: expected the columns {self._description['columns']}, as in the first image, "
                f"found {columns}"
            )
        line = {"image_id": image.image_id, "size": image.size, "output_size": image.output_size}
        line["proposals"] = len(image.columns["boxes"])
        try:
            for name, array in image.columns.items():
                with open(_file(self.folder, name), "ab") as file:
                    file.write(np.ascontiguousarray(array).tobytes())
        except OSError as error:
            raise OutputError(f"{self.folder}: the folder cannot be written: {error.strerror}") from error
        append_line(self.folder / _IMAGES, line)  # write the line last, because it marks the image as complete
        self.written += 1


def _file(folder: Path, column: str) -> Path:
    return folder / f"{column}.bin"


def _check_size(path: Path, dtype: str, rows: int, width: int) -> int:
    """Return the size of an array in bytes, (``rows``, ``width``). Raise DataError if its file is shorter."""
    needed = rows * width * np.dtype(dtype).itemsize
    if not path.is_file() or path.stat().st_size < needed:
        found = f"{path.stat().st_size} bytes" if path.is_file() else "no file"
        raise DataError(
            f"{path}: expected {needed} bytes ({rows} rows of {width} numbers), found {found}. The stored proposals "
            "are damaged. Choose another folder"
        )
    return needed


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    found = load_json_object(str(path), "expected the description of stored proposals")
    if found.get("kind") != _KIND:
        raise DataError(f'{path}: expected an object with "kind" {_KIND!r}, found {reprlib.repr(found)}')
    return found


def _read_images(folder: Path) -> list[dict[str, Any]]:
    """Return a dict for each stored image: image id, size, output size, and number of proposals.

    An incomplete last line, which a killed process may leave, is ignored.
    """
    path = folder / _IMAGES
    if not path.is_file():
        raise DataError(f"{path}: the list of the images with stored proposals does not exist. Choose another folder")
    return complete_lines(path)
