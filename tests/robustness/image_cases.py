"""Define broken image files in an otherwise valid dataset, read as in training."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from detectron2.data import DatasetMapper
from PIL import Image

from seesaw_d2.data import register_datasets, validate_datasets
from seesaw_d2.data.images.mapper import CheckedMapper
from seesaw_d2.data.records.training_records import load_training_dicts
from tests.data.toy import HEIGHT, WIDTH, entry, make_cfg, toy_data, write, write_images
from tests.robustness.corpus import Case, cases

UNREADABLE = r".*cannot read .*: \S+1\.jpg"


def dataset(change: Callable[[Path], None], **size: int) -> Callable[[Path], Path]:
    """Return a function that writes the toy dataset with a changed second image and its size."""

    def make(folder: Path) -> Path:
        data = toy_data()
        write_images(folder / "images", data)
        data["images"][1].update(size)
        write(folder, data)
        path = folder / "images" / "1.jpg"
        path.unlink()
        change(path)
        return folder

    return make


def content(value: bytes) -> Callable[[Path], Path]:
    return dataset(lambda path: path.write_bytes(value))


def encoded(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def frames(form: str) -> bytes:
    return encoded(picture(), form, save_all=True, append_images=[picture(), picture()])


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(), "JPEG", exif=exif)


def chunk(kind: bytes, value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + kind + value + struct.pack(">I", zlib.crc32(kind + value))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Return a PNG file with the given size in its header, the given chunks and no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n%%EOF\n"
JPEG, PNG = encoded(picture(), "JPEG"), encoded(picture(), "PNG")


def read(folder: Path) -> None:
    """Check the dataset as a training does, then map every image."""
    name = f"corpus_{folder.name}"
    cfg = make_cfg(entry(name, folder / "toy.json", folder / "images"), train=[name])
    register_datasets(cfg)
    validate_datasets(cfg)
    mapper = CheckedMapper(DatasetMapper(cfg, is_train=True))
    for record in load_training_dicts(cfg):
        sample = mapper(record)
        assert sample["image"].shape[0] == 3
        assert np.isfinite(sample["instances"].gt_boxes.tensor.numpy()).all()


CASES: list[Case] = cases(
    "image",
    {
        "no bytes": (content(b""), UNREADABLE),
        "text": (content(b"this is no image"), UNREADABLE),
        "a page of HTML": (content(b"<html><body>404 Not Found</body></html>"), UNREADABLE),
        "truncated JPEG": (content(JPEG[:-300]), r"1\.jpg: .*decode"),
        "JPEG of a header": (content(JPEG[:200]), r"1\.jpg"),
        "truncated PNG": (content(PNG[:-3000]), r"1\.jpg: .*decode"),
        "damaged PNG": (content(PNG[:500] + bytes(500) + PNG[1000:]), None),  # Pillow accepts it, the doctor does not
        "PNG without pixels": (content(png(WIDTH, HEIGHT)), r"1\.jpg: .*decode"),
        "another ending": (content(PNG), None),
        "BMP": (content(encoded(picture(), "BMP")), None),
        "WebP": (content(encoded(picture(), "WEBP")), None),
        "one pixel": (content(encoded(picture(size=(1, 1)), "PNG")), r"annotated 60 x 40, found 1 x 1"),
        "one row": (content(encoded(picture(size=(2000, 1)), "PNG")), r"annotated 60 x 40, found 2000 x 1"),
        "another size than annotated": (
            dataset(lambda p: p.write_bytes(JPEG), width=61),
            r"annotated 61 x 40, found 60 x 40",
        ),
        "16 bits": (content(encoded(Image.fromarray(np.full((HEIGHT, WIDTH), 999, np.uint16)), "PNG")), None),
        "one bit": (content(encoded(picture("1"), "PNG")), None),
        "floats": (content(encoded(Image.fromarray(np.ones((HEIGHT, WIDTH), np.float32)), "TIFF")), None),
        "gray": (content(encoded(picture("L"), "JPEG")), None),
        "CMYK": (content(encoded(picture("CMYK"), "JPEG")), None),
        "palette": (content(encoded(picture("P"), "PNG")), None),
        "transparent": (content(encoded(picture("RGBA"), "PNG")), None),
        "animated GIF": (content(frames("GIF")), None),
        "animated PNG": (content(frames("PNG")), None),
        "TIFF of pages": (content(frames("TIFF")), None),
        "turned by EXIF": (content(turned()), r"annotated 60 x 40, found 40 x 60"),
        "broken EXIF": (content(encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(9))), None),
        "50,000 x 50,000 pixels": (content(png(50_000, 50_000)), UNREADABLE + r" \(DecompressionBombError"),
        "2^31 x 2^31 pixels": (content(png(2**31 - 1, 2**31 - 1)), UNREADABLE),
        "no width": (content(png(0, 40)), r"1\.jpg"),
        "200 MB of text in a PNG": (
            content(png(WIDTH, HEIGHT, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000))))),
            r"1\.jpg",
        ),
        "a program (PostScript)": (content(POSTSCRIPT), r"1\.jpg \(.*PostScript"),
        "a folder": (dataset(lambda path: path.mkdir()), r"1 of 4 image files are missing: \S+1\.jpg"),
        "a pipe": (dataset(os.mkfifo), r"1 of 4 image files are missing: \S+1\.jpg"),
        "a device": (dataset(lambda path: path.symlink_to("/dev/zero")), r"are missing: \S+1\.jpg"),
        "missing": (dataset(lambda path: None), r"are missing: \S+1\.jpg"),
        "a link to nothing": (dataset(lambda path: path.symlink_to("nowhere.jpg")), r"are missing: \S+1\.jpg"),
        "a link to itself": (dataset(lambda path: path.symlink_to(path)), r"are missing: \S+1\.jpg"),
    },
)
