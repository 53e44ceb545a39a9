"""Resize images with the library that INPUT.RESIZE selects: Pillow, PyTorch or OpenCV.

Pillow and PyTorch give the same results as Detectron2, except for rounding. OpenCV gives the same results as
MMDetection.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from PIL import Image

from seesaw_d2.data.images.semantic_mapper import SemanticMapper, has_semantic_head
from seesaw_d2.errors import ConfigError

# Allowed values of the config key INPUT.RESIZE, which selects the library that resizes images.
PILLOW, PYTORCH, OPENCV = "pillow", "pytorch", "opencv"
# Detectron2 selects the interpolation method by a constant of Pillow. This dict maps it to the constant of OpenCV.
_CODES = {Image.BILINEAR: cv2.INTER_LINEAR, Image.NEAREST: cv2.INTER_NEAREST}


class PyTorchResizeTransform(T.ResizeTransform):
    """Version of Detectron2's ``ResizeTransform`` that computes Pillow's antialiased bilinear filter with PyTorch.

    About 0.2 % of the pixels differ by 1 of 255 from Pillow's result, because of rounding. Masks and images with more
    than 8 bits per channel are resized with Pillow.
    """

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """Resize an image from (h, w) to (new_h, new_w), which are arguments of the constructor.

        Args:
            img: (h, w) or (h, w, channels).
            interp: Pillow's constant for the filter. If None, use the filter that was passed to the constructor.
        """
        if (self.interp if interp is None else interp) != Image.BILINEAR or img.dtype != np.uint8:
            return super().apply_image(img, interp)
        assert img.shape[:2] == (self.h, self.w)
        pixels = torch.from_numpy(np.array(img.reshape(self.h, self.w, -1))).permute(2, 0, 1)
        resized = F.interpolate(pixels[None], (self.new_h, self.new_w), mode="bilinear", antialias=True)[0]
        return resized.permute(1, 2, 0).numpy().reshape(self.new_h, self.new_w, *img.shape[2:])

    def inverse(self) -> "PyTorchResizeTransform":
        return PyTorchResizeTransform(self.new_h, self.new_w, self.h, self.w, self.interp)


class PyTorchResizeShortestEdge(T.ResizeShortestEdge):
    """Version of Detectron2's ``ResizeShortestEdge`` that resizes with PyTorch (``PyTorchResizeTransform``)."""

    def get_transform(self, image: np.ndarray) -> T.Transform:
        plain = super().get_transform(image)
        if not isinstance(plain, T.ResizeTransform):
            return plain
        return PyTorchResizeTransform(plain.h, plain.w, plain.new_h, plain.new_w, plain.interp)


class OpenCVResizeTransform(T.ResizeTransform):
    """Version of Detectron2's ``ResizeTransform`` that resizes with OpenCV, without antialiasing.

    Images are resized with OpenCV's bilinear filter, and masks with the nearest filter. The results equal the results
    of MMDetection (``imresize`` of mmcv 2.1.0). Points and boxes are scaled as in Detectron2.
    """

    def apply_image(self, img: np.ndarray, interp: int | None = None) -> np.ndarray:
        """Resize an image from (h, w) to (new_h, new_w), which are arguments of the constructor.

        Args:
            img: (h, w) or (h, w, channels).
            interp: Pillow's constant for the bilinear or nearest filter. If None, use the filter that was passed to the
                constructor.
        """
        assert img.shape[:2] == (self.h, self.w)
        code = _CODES[self.interp if interp is None else interp]
        resized = cv2.resize(np.ascontiguousarray(img), (self.new_w, self.new_h), interpolation=code)
        # Restore the channel dimension, which OpenCV removes if the image has a single channel.
        return resized.reshape(self.new_h, self.new_w, *img.shape[2:])

    def inverse(self) -> "OpenCVResizeTransform":
        return OpenCVResizeTransform(self.new_h, self.new_w, self.h, self.w, self.interp)


class OpenCVResizeShortestEdge(T.ResizeShortestEdge):
    """Version of Detectron2's ``ResizeShortestEdge`` that resizes with OpenCV and rounds new sizes like MMDetection.

    Both Detectron2 and MMDetection scale an image of h x w pixels by the factor
    min(short / min(h, w), long / max(h, w)).
    Here, "short" is the wanted length of the shorter edge, and "long" is the maximum length of the longer edge.
    Detectron2 also rounds an intermediate value. Therefore the new sizes differ by one pixel for about 3 in 10,000
    image sizes.
    """

    def get_transform(self, image: np.ndarray) -> T.Transform:
        low, high = self.short_edge_length[0], self.short_edge_length[-1]
        # Call the same random functions as Detectron2's ResizeShortestEdge. With the same seed, both then draw the same
        # sizes.
        size = np.random.randint(low, high + 1) if self.is_range else np.random.choice(self.short_edge_length)  # noqa: NPY002
        if size == 0:
            return T.NoOpTransform()
        h, w = image.shape[:2]
        return OpenCVResizeTransform(h, w, *self.get_output_shape(h, w, int(size), self.max_size), self.interp)

    @staticmethod
    def get_output_shape(oldh: int, oldw: int, short_edge_length: int, max_size: int) -> tuple[int, int]:
        """Return the new (height, width) in pixels, rounded like ``rescale_size`` of mmcv 2.1.0.

        Args:
            oldh, oldw: height and width of the image.
            short_edge_length: wanted length of the shorter edge.
            max_size: maximum length of the longer edge.
        """
        scale = min(short_edge_length / min(oldh, oldw), max_size / max(oldh, oldw))
        return int(oldh * scale + 0.5), int(oldw * scale + 0.5)


def build_resizing(cfg: CfgNode, augmentations: Sequence[T.Augmentation]) -> list[T.Augmentation]:
    """Replace ``ResizeShortestEdge`` in a list of augmentations with the implementation that INPUT.RESIZE selects.

    Return a new list. The other augmentations stay unchanged.

    Raises:
        ConfigError: INPUT.RESIZE is invalid.
    """
    validate_resizing(cfg)
    if cfg.INPUT.RESIZE == PILLOW:
        return list(augmentations)
    resizing = PyTorchResizeShortestEdge
    if cfg.INPUT.RESIZE == OPENCV:
        resizing = OpenCVResizeShortestEdge
        # Disable OpenCV's threads. A forked worker process does not inherit these threads, and would wait for them
        # forever.
        cv2.setNumThreads(0)
    return [_by(resizing, each) if type(each) is T.ResizeShortestEdge else each for each in augmentations]


def _by(resizing: type[T.ResizeShortestEdge], plain: T.ResizeShortestEdge) -> T.ResizeShortestEdge:
    """Return an augmentation of the class ``resizing`` with the settings of ``plain``."""
    style = "range" if plain.is_range else "choice"
    return resizing(plain.short_edge_length, plain.max_size, style, plain.interp)


def build_mapper(cfg: CfgNode, *, is_train: bool) -> DatasetMapper:
    """Build a mapper from dataset dicts to model inputs, with the library that INPUT.RESIZE selects for resizing.

    The mapper is a ``SemanticMapper`` for models with a semantic segmentation head, and Detectron2's ``DatasetMapper``
    for other models.

    Args:
        cfg: config of the model and of the augmentations.
        is_train: if True, build the mapper for training. If False, build the mapper for evaluation.

    Raises:
        ConfigError: INPUT.RESIZE is invalid.
    """
    plain = DatasetMapper.from_config(cfg, is_train)["augmentations"]
    kind = SemanticMapper if has_semantic_head(cfg) else DatasetMapper
    mapper = kind(cfg, is_train, augmentations=build_resizing(cfg, plain))
    if isinstance(mapper, SemanticMapper):
        mapper.values = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
    return mapper


def validate_resizing(cfg: CfgNode) -> None:
    """Raise ConfigError if INPUT.RESIZE is not "pillow", "pytorch" or "opencv"."""
    if cfg.INPUT.RESIZE not in (PILLOW, PYTORCH, OPENCV):
        raise ConfigError(f'INPUT.RESIZE: expected "{PILLOW}", "{PYTORCH}" or "{OPENCV}", found {cfg.INPUT.RESIZE!r}')
