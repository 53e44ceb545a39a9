"""Map the dataset dicts of classification datasets to model inputs.

Shapes: S is the side length of the model's input images in pixels.
"""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.utils.file_io import PathManager
from PIL import Image, ImageOps
from torchvision import transforms

from seesaw_d2.data.images.headers import refuse_programs
from seesaw_d2.data.images.mapper import BlankingMapper
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.declared_keys import added_value

CROPS = ("resized", "padded", "whole")
# Evaluation scales the shorter side of an image to the input size divided by this number, and then cuts out the center.
# For the input size 224, the shorter side becomes 256 pixels, as usual for ImageNet.
_CENTRE = 0.875


class ClassificationMapper:
    """Mapper that reads the image of a dataset dict, and crops and augments it for a classification model.

    Images of all Pillow modes (grayscale, palette, CMYK, with transparency) are converted to RGB without transparency,
    and rotated according to the EXIF data. The mapper raises an error for images with more than 8 bits per channel,
    because Pillow would clip the pixel values.

    Args:
        is_train: if True, crop, flip and jitter randomly. If False, use the deterministic crop of evaluation.
        size: side length S of the model's input images in pixels.
        crop: how to obtain S x S pixels. "padded" and "whole" first scale images of another size to S x S pixels.

            - "resized", as for ImageNet. Training: crop a random part of the image (8 to 100 % of the area) with a
              random aspect ratio, and scale the crop to S x S. Evaluation: scale the shorter side to S / 0.875 pixels,
              and crop the center.
            - "padded", as for CIFAR. Training: pad the image with S / 8 zeros (rounded up) on each side, and crop S x S
              pixels at a random position. Evaluation: use the whole image.
            - "whole". Training and evaluation: use the whole image.
        flip: if True, flip each training image horizontally with probability 0.5.
        color_jitter: number in [0, 1). Brightness, contrast and saturation of training images are multiplied by random
            factors in [1 - color_jitter, 1 + color_jitter].
        image_format: channel order of the model's input images, "RGB" or "BGR".
    """

    @configurable
    def __init__(self, *, is_train, size=224, crop="resized", flip=True, color_jitter=0.0, image_format="RGB"):
        self.is_train = is_train
        self.size = size
        self.image_format = image_format
        steps = _training_steps(size, crop, flip, color_jitter) if is_train else _evaluation_steps(size, crop)
        self.transform = transforms.Compose(steps)
        self._only_scales = [type(step) for step in steps] == [_ScaleTo]

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool) -> dict[str, Any]:
        check_input_config(cfg)
        node = cfg.INPUT.CLASSIFICATION
        return {
            "is_train": is_train,
            "size": node.SIZE,
            "crop": node.CROP,
            "flip": cfg.INPUT.RANDOM_FLIP == "horizontal",
            "color_jitter": node.COLOR_JITTER,
            "image_format": cfg.INPUT.FORMAT,
        }

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the model input for one image.

        Args:
            record: dataset dict with "image_id", "annotations", and either "file_name" or "array" (RGB pixels). The
                "category_id" of the first annotation is the label.

        Returns:
            a dict with "image" (uint8 tensor of shape (3, S, S), S = ``size``), "label" (int) and "image_id".

        Raises:
            DataError: the image has more than 8 bits per channel.
            OSError: the image cannot be read.
        """
        array = record.get("array")
        if self._only_scales and array is not None and array.shape[:2] == (self.size, self.size):
            return self._result(record, array)
        image = read_rgb(record["file_name"]) if array is None else Image.fromarray(array)
        return self._result(record, np.asarray(self.transform(image)))

    def blank(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the model input for a dataset dict whose image cannot be read, with a black image instead."""
        return self._result(record, np.zeros((self.size, self.size, 3), dtype=np.uint8))

    def _result(self, record, image: np.ndarray) -> dict[str, Any]:
        channels = image[:, :, ::-1] if self.image_format == "BGR" else image
        return {
            "image": torch.from_numpy(channels.transpose(2, 0, 1).copy()),
            "label": record["annotations"][0]["category_id"],
            "image_id": record["image_id"],
        }


class BlankingClassificationMapper(BlankingMapper):
    """Wrapper of a ``ClassificationMapper`` for evaluation that replaces unreadable images by black images.

    Without such a wrapper, one unreadable image would end the evaluation.
    """

    def _blank(self, record):
        return self.mapper.blank(record)


def record_pixels(record: dict[str, Any]) -> np.ndarray:
    """Return the image of a dataset dict as a uint8 RGB array of shape (H, W, 3), without scaling or cropping.

    Args:
        record: dataset dict with the pixels in "array", or the path of the image file in "file_name".

    Raises:
        DataError: the image has more than 8 bits per channel.
        OSError: the image cannot be read.
    """
    array = record.get("array")
    return np.asarray(read_rgb(record["file_name"])) if array is None else array


def read_rgb(path: str) -> Image.Image:
    """Read an image file, rotate the image as its EXIF data require, and convert it to RGB.

    Raises:
        DataError: the image has more than 8 bits per channel.
        NotDecodedError: to decode the image, Pillow would run an external program.
        OSError: the file cannot be read.
    """
    with PathManager.open(path, "rb") as file:
        image = Image.open(file)
        refuse_programs(image)
        if image.mode.startswith(("I", "F")):
            raise DataError(
                f"{path}: expected an image with 8 bits per channel, found an image with more bits (Pillow's mode "
                f"{image.mode!r}). Convert the image to 8 bits per channel."
            )
        # Pillow rotates TIFF files when it decodes them. Before version 10.1, ``exif_transpose`` rotates them again.
        return (image if image.format == "TIFF" else ImageOps.exif_transpose(image)).convert("RGB")


def check_input_config(cfg: CfgNode) -> None:
    """Raise ConfigError if a config key that ``ClassificationMapper`` reads, such as INPUT.FORMAT, is invalid."""
    node = added_value(cfg, "INPUT.CLASSIFICATION")
    if node.SIZE < 1:
        raise ConfigError(f"INPUT.CLASSIFICATION.SIZE: expected a number of pixels >= 1, found {node.SIZE}")
    if node.CROP not in CROPS:
        raise ConfigError(f"INPUT.CLASSIFICATION.CROP: expected one of {', '.join(CROPS)}, found {node.CROP!r}")
    if not 0 <= node.COLOR_JITTER < 1:
        raise ConfigError(f"INPUT.CLASSIFICATION.COLOR_JITTER: expected a number in [0, 1), found {node.COLOR_JITTER}")
    if cfg.INPUT.RANDOM_FLIP not in ("none", "horizontal"):
        raise ConfigError(f'INPUT.RANDOM_FLIP: expected "none" or "horizontal", found {cfg.INPUT.RANDOM_FLIP!r}')
    if cfg.INPUT.FORMAT not in ("RGB", "BGR"):
        raise ConfigError(f'INPUT.FORMAT: expected "RGB" or "BGR", found {cfg.INPUT.FORMAT!r}')


class _ScaleTo:
    """Transform that scales a PIL image to ``size`` x ``size`` pixels, ignoring the aspect ratio."""

    def __init__(self, size: int):
        self.size = (size, size)

    def __call__(self, image: Image.Image) -> Image.Image:
        return image if image.size == self.size else image.resize(self.size, Image.Resampling.BILINEAR)


def _training_steps(size, crop, flip, color_jitter) -> list:
    if crop == "resized":
        steps = [transforms.RandomResizedCrop(size)]
    elif crop == "whole":
        steps = [_ScaleTo(size)]
    else:
        steps = [_ScaleTo(size), transforms.RandomCrop(size, padding=-(-size // 8))]
    if flip:
        steps.append(transforms.RandomHorizontalFlip())
    if color_jitter:
        steps.append(transforms.ColorJitter(color_jitter, color_jitter, color_jitter))
    return steps


def _evaluation_steps(size, crop) -> list:
    if crop == "resized":
        return [transforms.Resize(round(size / _CENTRE)), transforms.CenterCrop(size)]
    return [_ScaleTo(size)]
