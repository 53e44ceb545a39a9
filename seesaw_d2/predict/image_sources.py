"""Find and read the input images and videos of ``demo.py``, and write videos."""

import glob
import logging
import os
import uuid
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from detectron2.data import detection_utils
from PIL import UnidentifiedImageError

from seesaw_d2.data.images.headers import DEEP_MODES, TWICE, read_header
from seesaw_d2.data.images.scanning import describe_passed_over, scan_folder
from seesaw_d2.errors import DataError, OutputError
from seesaw_d2.utils.messages import first_few, warn_once
from seesaw_d2.utils.own_files import DRAWN
from seesaw_d2.utils.regular_files import irregular

logger = logging.getLogger(__name__)

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")


def find_images(inputs: Sequence[str]) -> list[str]:
    """Return the paths of all input images. Files in folders that are not images, and subfolders, are skipped.

    Log a warning with the number of skipped files and subfolders.

    Args:
        inputs: image files, folders of images, and glob patterns.

    Raises:
        DataError: an input does not exist, or is a folder without images.
    """
    found = []
    for given in inputs:
        path = os.path.expanduser(given)
        folder = os.path.isdir(path)
        if folder:
            files = _images_in(path)
        else:
            files = [path] if os.path.isfile(path) else sorted(glob.glob(path))
        if not files:
            found_none = "a folder without images" if folder else "nothing at this path"
            raise DataError(f"--input {given}: expected an image, a folder of images or a video, found {found_none}")
        found += files
    return found


def _images_in(folder: str) -> list[str]:
    try:
        images, passed_over = scan_folder(folder, recursive=False)
    except OSError as error:
        raise DataError(f"--input {folder}: the folder cannot be read: {error.strerror or error}") from None
    if passed_over:
        warn_once(logger, f"--input {folder}: some files are skipped: {describe_passed_over(passed_over)}")
    return [os.path.join(folder, image) for image in images]


def check_images(paths: Sequence[str]) -> None:
    """Check the headers of all input images, so that ``demo.py`` finds unreadable images before it draws the first one.

    Log a warning that lists images with more than 8 bits per channel, because values above 255 are drawn as white. Log
    a warning that lists images with several frames or pages, because only the first is drawn.

    Raises:
        DataError: the header of an image cannot be read, or EXIF data rotate or mirror a TIFF file.
    """
    headers = {path: read_header(path, (None, None)) for path in paths}
    bad = {path: header.size for path, header in headers.items() if isinstance(header.size, Exception)}
    if bad and len(paths) > 1:
        raise DataError(
            f"--input: {len(bad)} of {len(paths)} images cannot be decoded: {first_few(bad)}. No image was drawn. "
            "Remove these images from the input"
        )
    for path, error in bad.items():
        raise _unreadable(path, error)
    twice = [path for path, header in headers.items() if header.twice]
    if twice:
        raise DataError(
            f"--input: expected TIFF files without a rotation or reflection in their EXIF data, found "
            f"{first_few(twice)}. {TWICE}"
        )
    deep = [path for path, header in headers.items() if header.mode.startswith(DEEP_MODES)]
    several = [path for path, header in headers.items() if header.several]
    if deep:
        warn_once(
            logger,
            "Values above 255 are drawn as white, because these images have more than 8 bits per channel: "
            f"{first_few(deep)}",
        )
    if several:
        warn_once(
            logger,
            f"Only the first frame or page of these images is drawn: {first_few(several)}",
        )


def is_video(path: str) -> bool:
    return path.lower().endswith(VIDEOS)


def read_image(path: str) -> np.ndarray:
    """Return an image as a uint8 array (height, width, 3) in BGR. Raise DataError if the image cannot be decoded."""
    try:
        return detection_utils.read_image(path, format="BGR")
    except Exception as error:  # image decoders raise errors of many types
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> DataError:
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "unknown image format" if unknown else error
    return DataError(f"{path}: cannot decode the image: {reason}. Remove the file, or convert it to JPEG or PNG")


class Video:
    """Iterate over the frames of a video file. Each frame is a uint8 array (height, width, 3) in BGR.

    The iterator logs a warning if the file has fewer frames than its header states.

    Raises:
        DataError: the file does not exist, is not a video that OpenCV can read, or has no frame.
    """

    def __init__(self, path: str):
        self.path = path
        if not os.path.isfile(path):  # OpenCV would wait for a pipe, and download a URL
            raise DataError(f"--input {path}: expected a video, found {irregular(path) or 'nothing at this path'}")
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise DataError(
                f"--input {path}: expected a video, found a file that OpenCV cannot read. Convert it to MP4"
            )
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        # Number of frames, or None if unknown. The number comes from the header of the file, which can be wrong. Use it
        # only for the progress bar and a warning.
        self.length = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None

    def __iter__(self) -> Iterator[np.ndarray]:
        count = 0
        while True:
            more, frame = self._capture.read()
            if not more:
                break
            count += 1
            yield frame
        self._capture.release()
        if not count:
            raise DataError(
                f"--input {self.path}: expected a video, found no frame that OpenCV can decode. Convert the file to MP4"
            )
        if count < (self.length or 0):
            warn_once(
                logger,
                f"--input {self.path}: only the first {count} frames are drawn, because OpenCV cannot decode the next "
                f"frame. The header of the file states {self.length} frames, which can be wrong",
            )


class VideoWriter:
    """Write frames of equal size to a video file. Each frame is a uint8 array (height, width, 3) in BGR.

    ``write`` appends a frame to a temporary file, and ``close`` renames the temporary file to ``path``. If OpenCV
    cannot write the file, the first call of ``write`` raises OutputError.

    Args:
        path: path of the video file. The extension selects the file format.
        rate: frames per second.
    """

    def __init__(self, path: str, rate: float):
        self.path, self.rate, self._writer = path, rate, None
        name, ending = os.path.splitext(path)
        self._part = f"{name}.part-{uuid.uuid4().hex}{ending}"

    def write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            height, width = frame.shape[:2]
            self._writer = cv2.VideoWriter(self._part, cv2.VideoWriter_fourcc(*"mp4v"), self.rate, (width, height))
            if not self._writer.isOpened():
                raise OutputError(
                    f"--output {self.path}: OpenCV cannot write a video to this file. Use a file name such as out.mp4"
                )
        self._writer.write(frame)

    def close(self, *, complete: bool = True) -> None:
        """If the video is complete, rename the temporary file to ``path``. Otherwise, remove the temporary file.

        Raises:
            OutputError: the file cannot be written or read, for example because the disk is full. OpenCV reports such
                errors only on the console.
        """
        if self._writer is None:
            return
        self._writer.release()
        try:
            if complete:
                with open(self._part, "ab") as file:
                    file.write(DRAWN)
                if not cv2.VideoCapture(self._part).read()[0]:
                    raise OutputError(
                        f"--output {self.path}: expected a video that OpenCV can read, found no frame in the written "
                        "file. Is the disk full?"
                    )
                os.replace(self._part, self.path)
        except OSError as error:
            raise OutputError(f"--output {self.path}: cannot write the video: {error.strerror}") from error
        finally:
            if os.path.exists(self._part):
                os.remove(self._part)
