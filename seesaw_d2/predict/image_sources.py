"""What ``demo.py`` reads and writes: pictures, folders of them, videos."""

import glob
import logging
import os
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from detectron2.data.detection_utils import read_image
from PIL import UnidentifiedImageError

from seesaw_d2.data.images.headers import DEEP_MODES, read_header
from seesaw_d2.data.images.scanning import describe_passed_over, scan_folder
from seesaw_d2.errors import DataError, OutputError
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")


def find_pictures(inputs: Sequence[str]) -> list[str]:
    """Return picture files: those given, those in given folders, those that patterns match.

    A warning says how many files and subfolders of a given folder are passed over, and why.

    Raises:
        DataError: an input is not there, or without any picture.
    """
    found = []
    for given in inputs:
        path = os.path.expanduser(given)
        folder = os.path.isdir(path)
        if folder:
            files = _pictures_in(path)
        else:
            files = [path] if os.path.isfile(path) else sorted(glob.glob(path))
        if not files:
            found_none = "a folder without any" if folder else "no such file or folder"
            raise DataError(f"--input {given}: expected a picture, a folder of pictures or a video, found {found_none}")
        found += files
    return found


def _pictures_in(folder: str) -> list[str]:
    try:
        images, passed_over = scan_folder(folder, recursive=False)
    except OSError as error:
        raise DataError(f"--input {folder}: cannot be read: {error.strerror or error}") from None
    if passed_over:
        warn_once(logger, f"--input {folder}: passed over, {describe_passed_over(passed_over)}")
    return [os.path.join(folder, image) for image in images]


def check_pictures(paths: Sequence[str]) -> None:
    """Look at all of them before the first is drawn. Warn of those that are not drawn as they are.

    Raises:
        DataError: some cannot be read, by what their first bytes say.
    """
    headers = {path: read_header(path, (None, None)) for path in paths}
    bad = {path: header.size for path, header in headers.items() if isinstance(header.size, Exception)}
    if bad and len(paths) > 1:
        raise DataError(f"{len(bad)} of {len(paths)} pictures cannot be read, and none is drawn: {first_few(bad)}")
    for path, error in bad.items():
        raise _no_picture(path, error)
    deep = [path for path, header in headers.items() if header.mode.startswith(DEEP_MODES)]
    several = [path for path, header in headers.items() if header.several]
    if deep:
        warn_once(logger, f"pictures of more than 8 bits per pixel, all values above 255 are white: {first_few(deep)}")
    if several:
        warn_once(logger, f"pictures of several frames or pages, of which the first is drawn: {first_few(several)}")


def is_video(path: str) -> bool:
    return path.lower().endswith(VIDEOS)


def read_picture(path: str) -> np.ndarray:
    """(H, W, 3) uint8 BGR.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        return read_image(path, format="BGR")
    except Exception as error:  # each decoder has its own
        raise _no_picture(path, error) from None


def _no_picture(path: str, error: Exception) -> DataError:
    unknown = isinstance(error, UnidentifiedImageError)
    reason = "its content is of no known image format" if unknown else error
    return DataError(f"{path}: cannot be read as a picture: {reason}")


class Video:
    """Frames of a video file, (H, W, 3) uint8 BGR.

    Raises:
        DataError: it cannot be opened.
    """

    def __init__(self, path: str):
        self.path = path
        self._capture = cv2.VideoCapture(path)
        if not os.path.isfile(path) or not self._capture.isOpened():
            raise DataError(f"--input {path}: cannot be opened as a video")
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        # As the file says, which may be wrong; for the progress bar only.
        self.length = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            more, frame = self._capture.read()
            if not more:
                self._capture.release()
                return
            yield frame


class VideoWriter:
    """An .mp4 file of frames, (H, W, 3) uint8 BGR, all of the first one's size. It gets its name when it is closed.

    Raises:
        OutputError: with the first frame, if the file cannot be written.
    """

    def __init__(self, path: str, rate: float):
        self.path, self.rate, self._writer = path, rate, None
        name, ending = os.path.splitext(path)
        self._part = f"{name}.part{ending}"

    def write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            height, width = frame.shape[:2]
            self._writer = cv2.VideoWriter(self._part, cv2.VideoWriter_fourcc(*"mp4v"), self.rate, (width, height))
            if not self._writer.isOpened():
                raise OutputError(f"{self.path}: cannot be written as a video; expected a name like out.mp4")
        self._writer.write(frame)

    def close(self, *, complete: bool = True) -> None:
        """Nothing is left of a file that is not ``complete``."""
        if self._writer is not None:
            self._writer.release()
            if complete:
                os.replace(self._part, self.path)
            elif os.path.exists(self._part):
                os.remove(self._part)
