"""A trained model on pictures, several in a forward pass, in full or half precision.

H x W pixels of a picture, h x w of the image that the model gets of it.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from torch import Tensor, nn

from seesaw_d2.config.device import replace_auto_device
from seesaw_d2.data.classification.mapper import ClassificationMapper
from seesaw_d2.data.images.resizing import build_resizing
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.preflight.categories import categories_at_hand
from seesaw_d2.train.tasks import CLASSIFICATION, task_of

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_LOOKAHEAD = 4  # batches of pictures that wait for others of their size


class BatchPredictor:
    """Detections of pictures, the same whatever the batch size.

    Only pictures whose images are padded to the same size share a batch. Detectron2 pads the images of a batch to the
    largest; what convolutions then see beyond the border of a smaller one changes its features there, and detections
    with them. So batches pay where pictures have the same size, or almost: those of a video, a camera, a data set with
    few formats. Pictures of sizes that come once are taken one at a time.

    Args:
        cfg: of a detector, with MODEL.WEIGHTS, which must fit (Detectron2's DefaultPredictor only warns).
        batch_size: at least 1.
        dtype: "float32", "bfloat16" or "float16": what layers run in, by autocast. Weights stay as they are, and so do
            box decoding, NMS and the pasting of masks: bfloat16 has not the digits for coordinates.

    Attributes:
        class_names: C names, those that the checkpoint keeps, else those of the config's data sets, else numbered ones.
        unknown_data: why they are numbered, or "".

    Raises:
        ConfigError: a value out of its range, or an image classifier's config.
        WeightsError: the weights do not fit, or their categories have another order than the config's data sets.
    """

    def __init__(self, cfg: CfgNode, batch_size: int = 1, dtype: str = "float32"):
        check_batch_options(batch_size, dtype)
        if task_of(cfg) is CLASSIFICATION:
            raise ConfigError(
                f"MODEL.META_ARCHITECTURE: expected a detector, found {cfg.MODEL.META_ARCHITECTURE}, which classifies "
                "whole images"
            )
        self.cfg, self.batch_size, self.dtype = cfg, batch_size, DTYPES[dtype]
        self.model, self.class_names, self.unknown_data = load_predictor(cfg)

    def __call__(self, pictures: Iterable[np.ndarray]) -> Iterator[Instances]:
        """(H, W, 3) uint8 BGR each -> its detections in its own pixels, on the CPU, in the order of the pictures.

        At most 4 batches of pictures are read ahead, with their images in memory.
        """
        waiting: dict[int, tuple[Tensor, tuple[int, int]]] = {}  # in order of arrival
        done: dict[int, Instances] = {}
        given = 0
        for index, picture in enumerate(pictures):
            waiting[index] = torch.from_numpy(prepare(self.cfg, picture)), picture.shape[:2]
            same = [other for other in waiting if self._padded(waiting[other]) == self._padded(waiting[index])]
            if len(same) == self.batch_size:
                self._run(same, waiting, done)
            if given in waiting and len(waiting) + len(done) >= _LOOKAHEAD * self.batch_size:
                self._run_first(waiting, done)
            while given in done:
                yield done.pop(given)
                given += 1
        while waiting:
            self._run_first(waiting, done)
        for index in sorted(done):
            yield done[index]

    @torch.no_grad()
    def predict(self, images: list[Tensor], sizes: list[tuple[int, int]]) -> list[Instances]:
        """One forward pass: images (3, h, w) and the (H, W) that their detections are scaled to."""
        with torch.autocast(self.model.device.type, self.dtype, enabled=self.dtype != torch.float32):
            found = self.model.inference([{"image": image} for image in images], do_postprocess=False)
        for each in found:
            for name, value in each.get_fields().items():
                if isinstance(value, Tensor) and value.is_floating_point():
                    each.set(name, value.float())
        return [detector_postprocess(each, *size).to("cpu") for each, size in zip(found, sizes, strict=True)]

    def _padded(self, item) -> tuple[int, int]:
        """The size that an image alone is padded to."""
        step = max(self.model.backbone.size_divisibility, 1)
        height, width = item[0].shape[1:]
        return -(-height // step), -(-width // step)

    def _run_first(self, waiting, done) -> None:
        """The picture that waits longest, and those that can go with it."""
        first = self._padded(next(iter(waiting.values())))
        self._run([index for index, item in waiting.items() if self._padded(item) == first], waiting, done)

    def _run(self, indices, waiting, done) -> None:
        items = [waiting.pop(index) for index in indices]
        images, sizes = zip(*items, strict=True)
        done.update(zip(indices, self.predict(list(images), list(sizes)), strict=True))


def check_batch_options(batch_size: int, dtype: str) -> None:
    """Raise ConfigError, by the names of the command line, for values out of their range."""
    if batch_size < 1:
        raise ConfigError(f"--batch-size: expected at least 1, found {batch_size}")
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype: expected one of {', '.join(DTYPES)}, found {dtype!r}")


def build_predictor_model(cfg: CfgNode, check: Callable[[CfgNode, nn.Module], None] | None = None) -> nn.Module:
    """The model of a config in evaluation mode, with MODEL.WEIGHTS, which must fit; see ``load_predictor``."""
    return load_predictor(cfg, check)[0]


def load_predictor(
    cfg: CfgNode, check: Callable[[CfgNode, nn.Module], None] | None = None
) -> tuple[nn.Module, list[str], str]:
    """The model of a config in evaluation mode, with MODEL.WEIGHTS, which must fit.

    Args:
        cfg: stays as it is; ``MODEL.DEVICE: auto`` is a GPU if there is one.
        check: called with config and model before the weights are loaded.

    Returns:
        the model; its C class names; and why they are numbers, or "".

    Raises:
        ConfigError, WeightsError: test set, training set and checkpoint have the same categories in another order.
    """
    at_hand, reason = categories_at_hand(cfg)
    model = _build(cfg).eval()
    if check is not None:
        check(cfg, model)
    checkpointer = SeesawCheckpointer(model, strict=True, categories=at_hand)
    checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[])
    known = checkpointer.loaded_categories or at_hand
    count = task_of(cfg).num_classes(cfg)
    if known is not None and len(known.names) == count:
        return model, list(known.names), ""
    return model, [f"category {index}" for index in range(count)], reason


def _build(cfg: CfgNode) -> nn.Module:
    resolved = cfg.clone()
    resolved.defrost()
    replace_auto_device(resolved)
    return build_model(resolved)


def prepare(cfg: CfgNode, picture: np.ndarray) -> np.ndarray:
    """What the model gets of a picture in evaluation: (3, h, w) uint8 in INPUT.FORMAT for (H, W, 3) uint8 BGR.

    Raises:
        DataError: it is another thing, or so narrow that nothing is left of it at that size.
    """
    if not isinstance(picture, np.ndarray):  # cv2.imread gives None for what it cannot read
        raise DataError(f"picture: expected an array (H, W, 3), found {type(picture).__name__}")
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise DataError(f"picture: expected uint8 (H, W, 3), found {picture.dtype} {picture.shape}")
    if task_of(cfg) is CLASSIFICATION:
        record = {"array": np.ascontiguousarray(picture[:, :, ::-1]), "annotations": [{"category_id": 0}]}
        return ClassificationMapper(cfg, is_train=False)({**record, "image_id": 0})["image"].numpy()
    channels = picture[:, :, ::-1] if cfg.INPUT.FORMAT == "RGB" else picture
    sizes = [cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MIN_SIZE_TEST]
    (resizing,) = build_resizing(cfg, [T.ResizeShortestEdge(sizes, cfg.INPUT.MAX_SIZE_TEST)])
    transform = resizing.get_transform(channels)
    if min(getattr(transform, "new_h", 1), getattr(transform, "new_w", 1)) < 1:
        height, width = picture.shape[:2]
        raise DataError(
            f"picture: expected one whose shorter side is a pixel or more at INPUT.MAX_SIZE_TEST "
            f"{cfg.INPUT.MAX_SIZE_TEST}, found {height} x {width} pixels"
        )
    resized = transform.apply_image(channels)
    return np.ascontiguousarray(resized.transpose(2, 0, 1))
