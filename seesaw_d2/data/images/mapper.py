"""Report or replace unreadable images while dataset dicts are mapped to model inputs.

Each mapper of this module wraps another mapper, such as Detectron2's DatasetMapper. If the wrapped mapper raises an
error, the wrapper reads the image again. If reading fails, the image is the cause of the error.
"""

import copy
import logging
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T

from seesaw_d2.data.boxes_and_masks.float_coordinates import with_float_coordinates
from seesaw_d2.data.images.headers import NotDecodedError
from seesaw_d2.data.images.mapped_images import RotatedTwiceError, check_mapped
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import one_line, reason, warn_once

logger = logging.getLogger(__name__)

Record = dict[str, Any]
Mapper = Callable[[Record], Record]

# ``ReplacingMapper`` replaces an unreadable image with another image. After this number of unreadable images in a row,
# it raises an error instead of trying forever.
_MAX_REPLACEMENTS = 100


class UnreadableImageError(DataError):
    """Raised if an image file cannot be decoded."""


class _WritableTransform(T.Transform):
    """Transform that copies read-only images and masks, and changes nothing else.

    PyTorch warns if a tensor shares memory with a read-only array.
    """

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        # Copy only masks and single-channel images. The mapper later copies images with several channels anyway, when
        # it moves the channels to the front.
        copied = img.ndim == 3 and img.shape[2] > 1
        return img if img.flags.writeable or copied else img.copy()

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        return coords

    def inverse(self) -> T.Transform:
        return self


class _Writable(T.Augmentation):
    def get_transform(self, image: np.ndarray) -> T.Transform:
        return _WritableTransform()


def with_writable_arrays(mapper: Mapper) -> Mapper:
    """Return a copy of Detectron2's ``DatasetMapper`` that returns writable masks and single-channel images.

    Pillow creates read-only arrays, and PyTorch warns if a tensor shares memory with a read-only array. Mappers of
    other types are returned unchanged.
    """
    augmentations = getattr(mapper, "augmentations", None)
    if not isinstance(augmentations, T.AugmentationList):
        return mapper
    result = copy.copy(mapper)
    result.augmentations = T.AugmentationList([*augmentations.augs, _Writable()])
    return result


class CheckedMapper:
    """Mapper that calls another mapper, and raises an error with the file name if the image is unreadable.

    Args:
        mapper: the other mapper, a function that maps a dataset dict to model inputs.
    """

    _advice = ". Set DATALOADER.SKIP_BAD_IMAGES True to skip such images."

    def __init__(self, mapper: Mapper):
        self.mapper = with_writable_arrays(mapper)
        self._warned = False

    def __call__(self, record: Record) -> Record:
        """Return the model inputs of a dataset dict.

        For Detectron2's mapper, integer coordinates become floats. Otherwise, the mapper would truncate the scaled
        coordinates of datasets that other code has registered, for example ``register_coco_instances``.

        Raises:
            UnreadableImageError: the image cannot be decoded.
            DataError: the image does not have the annotated size, or EXIF data rotate or mirror a TIFF file.
        """
        path = record.get("file_name")
        try:
            self._check_header(path)
            return self.mapper(with_float_coordinates(record) if isinstance(self.mapper, DatasetMapper) else record)
        except NotDecodedError as error:
            raise UnreadableImageError(f"{one_line(path)}: cannot decode this image: {error}{self._advice}") from None
        except RotatedTwiceError:
            raise
        except Exception as error:
            self._check_image(record)
            # Keep the type and the traceback of the error, because the mapper can be the user's. Python 3.10 has no
            # notes.
            if hasattr(error, "add_note") and path is not None:
                error.add_note(f"The mapper failed for the image {one_line(path)}.")
            raise

    def _check_header(self, path: str | None) -> None:
        """Raise an error if Detectron2's mapper would decode an image wrongly, as ``check_mapped`` describes.

        Log a warning for the first image with more than 8 bits per channel. Other mappers are not checked, because they
        may read images differently, or read other files than "file_name".
        """
        if path is None or not isinstance(self.mapper, DatasetMapper):
            return
        if check_mapped(path) and not self._warned:
            self._warned = True
            logger.warning(
                f"{one_line(path)}: the image has more than 8 bits per channel. Detectron2's mapper clips pixel values "
                "at 255. Convert such files to 8 bits per channel. Later images of this kind are not reported."
            )

    def _check_image(self, record: Record) -> None:
        """Raise an error if the image of a dataset dict cannot be decoded or does not have the annotated size."""
        path = record.get("file_name")
        if path is None:  # the image is in memory, so there is no file to check
            return
        try:
            image = detection_utils.read_image(path, getattr(self.mapper, "image_format", None))
        except Exception as error:
            raise UnreadableImageError(
                f"{one_line(path)}: cannot decode this image ({type(error).__name__}: {reason(error)}){self._advice}"
            ) from None
        found, expected = (image.shape[1], image.shape[0]), (record.get("width"), record.get("height"))
        if None not in expected and found != expected:
            raise DataError(
                f"{one_line(path)}: expected an image with the annotated width x height {expected[0]} x {expected[1]}, "
                f"found {found[0]} x {found[1]} after the rotation by EXIF data. Correct the annotation or the image."
            )


class ReplacingMapper(CheckedMapper):
    """Mapper for training that calls another mapper, and replaces an unreadable image by another image.

    The other image depends only on the file name of the unreadable image. Therefore a resumed run chooses the same
    image. A mapper of Detectron2 can also return None to skip an image, but Detectron2 0.6 then raises a TypeError with
    Python 3.11 or newer.

    Args:
        mapper: the wrapped mapper, a function that maps a dataset dict to model inputs.
        records: dataset dicts from which the other image is drawn.
    """

    _advice = ""

    def __init__(self, mapper: Mapper, records: Sequence[Record]):
        super().__init__(mapper)
        self.records = records

    def __call__(self, record: Record) -> Record:
        rng = np.random.default_rng(zlib.crc32(str(record.get("file_name", record["image_id"])).encode()))
        for _ in range(_MAX_REPLACEMENTS):
            try:
                return super().__call__(record)
            except UnreadableImageError as error:
                warn_once(logger, f"{error}. Training uses another image instead.")
            record = self.records[int(rng.integers(len(self.records)))]
        raise DataError(
            f"{record['file_name']}: cannot decode this image and the {_MAX_REPLACEMENTS - 1} randomly chosen images "
            "before this image. Check the image folder."
        )


class BlankingMapper(CheckedMapper):
    """Mapper for evaluation that calls another mapper, and replaces an unreadable image by a black image.

    The black image has the annotated size. Evaluation counts the objects in an unreadable image as missed.

    Args:
        mapper: the wrapped mapper, a function that maps a dataset dict to model inputs.
    """

    _advice = ""

    def __call__(self, record: Record) -> Record:
        try:
            return super().__call__(record)
        except UnreadableImageError as error:
            warn_once(logger, f"{error}. Evaluation uses a black image instead.")
            return self._blank(record)

    def _blank(self, record: Record) -> Record:
        """Return the model inputs of a dataset dict with a black image, augmented like other images."""
        channels = 1 if getattr(self.mapper, "image_format", None) == "L" else 3
        image = T.AugInput(np.zeros((record["height"], record["width"], channels), dtype=np.uint8))
        self.mapper.augmentations(image)
        result = {key: value for key, value in record.items() if key != "annotations"}
        result["image"] = torch.as_tensor(np.ascontiguousarray(image.image.transpose(2, 0, 1)))
        return result
