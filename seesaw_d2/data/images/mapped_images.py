"""Check an image file before a mapper decodes it, because ``check_headers`` opens only a sample of a large dataset."""

from detectron2.utils.file_io import PathManager

from seesaw_d2.data.images.headers import DEEP_MODES, TWICE, opened, orientation, refuse_programs
from seesaw_d2.errors import DataError

_JPEG = b"\xff\xd8"  # first bytes of a JPEG file


class RotatedTwiceError(DataError):
    """Raised if EXIF data rotate or mirror a TIFF file. Pillow and Detectron2 would both apply these data."""


def check_mapped(path: str) -> bool:
    """Check that Detectron2's ``read_image`` decodes an image file correctly. Damaged files are not detected.

    Returns:
        True if the image has more than 8 bits per channel, so that ``read_image`` clips the pixel values at 255.

    Raises:
        RotatedTwiceError: EXIF data rotate or mirror a TIFF file, so that the pixels do not fit any annotations.
        NotDecodedError: to decode the image, Pillow would run an external program.
        OSError: the file cannot be read, or is no image.
    """
    with PathManager.open(path, "rb") as file:
        if file.read(len(_JPEG)) == _JPEG:  # JPEG files have none of these problems. Parsing their headers is slower
            return False
        file.seek(0)
        with opened(file) as image:
            refuse_programs(image)
            turned = orientation(image) if image.format == "TIFF" else 1
            if turned > 1:
                raise RotatedTwiceError(
                    f"{path}: expected a TIFF file without a rotation or reflection in its EXIF data, found "
                    f"orientation {turned}. {TWICE}."
                )
            return image.mode.startswith(DEEP_MODES)
